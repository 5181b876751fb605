import type { Endpoint } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import type { Intent } from "../store/stored-instance.ts";
import type { CurrentRun } from "./current-run.ts";
import {
  InstanceStoppedError,
  NotReadyError,
  NotSavedError,
  OperationFailedError,
  type OperationVerb,
  ShuttingDownError,
} from "./errors.ts";
import type { EventStream } from "./events.ts";
import type { EarlierCrash } from "./found-dead.ts";
import type { InstanceState } from "./instance-state.ts";
import type { IntentKeeper } from "./intent.ts";
import type { Moment, OperationQueue } from "./operation-queue.ts";
import { isAtRest } from "./status-transitions.ts";
import { isLate } from "./waiting.ts";

/** Start, stop and restart of one instance, and its end with the daemon: what is wished for is stored, then done. */
export class Lifecycle {
  /** Of a process that died while no daemon ran: what the next start makes of it. */
  private earlierCrash: EarlierCrash | null = null;

  private readonly events: EventStream;
  private readonly state: InstanceState;
  private readonly intent: IntentKeeper;
  private readonly turns: OperationQueue;

  constructor(
    parts: { events: EventStream; state: InstanceState; intent: IntentKeeper; turns: OperationQueue },
    private readonly run: CurrentRun,
  ) {
    this.events = parts.events;
    this.state = parts.state;
    this.intent = parts.intent;
    this.turns = parts.turns;
  }

  /** The next start goes on from there. */
  recallCrash(crash: EarlierCrash): void {
    this.earlierCrash = crash;
  }

  /**
   * Wishes it to run and waits at most `waitMs` for it to be ready; starting or running already is as good.
   * @param by what asks for it, for the daemon's log
   * @throws OperationFailedError with the reason, OvertakenError where a stop came in between
   */
  async start(waitMs: number, by: string): Promise<void> {
    await this.intent.settled;
    const moment = this.turns.now();
    // A caller that does not wait is answered before its turn comes: the wish must not be lost then.
    if (this.state.current === "stopping") await this.storeWish("start");
    await this.startAt(moment, waitMs, "start", by, "running");
  }

  private async storeWish(verb: OperationVerb): Promise<void> {
    try {
      await this.intent.set("running");
    } catch (error) {
      throw new OperationFailedError(verb, systemProblem(error));
    }
  }

  /**
   * Starts it where it should run, or may run on demand, and waits until it is ready. What should be stays as it is.
   * @returns where it answers
   * @throws InstanceStoppedError where a person stopped it, NotReadyError after `waitMs`, and what {@link start} throws
   */
  async ensureReady(waitMs: number, by: string): Promise<Endpoint> {
    await this.intent.settled;
    if (this.state.intent === "stopped") throw new InstanceStoppedError();
    await this.startAt(this.turns.now(), waitMs, "start", by, null);
    const { endpoint } = this.run;
    if (endpoint === null) throw new NotReadyError(waitMs);
    return endpoint;
  }

  /**
   * Resolves when nothing of it is left. A second call does not wait for the grace time.
   * @throws OperationFailedError where that cannot be stored: it goes on running, as the next boot would have it
   */
  async stop(by: string): Promise<void> {
    try {
      await this.intent.set("stopped");
    } catch (error) {
      throw new OperationFailedError("stop", systemProblem(error));
    }
    this.turns.checkThere();
    // What is left running for the next daemon is not stopped, and goes on there.
    if (this.turns.isClosed) throw new ShuttingDownError();
    this.turns.overtake("a stop");
    this.earlierCrash = null;
    this.run.requestStop(true, by);
    await this.run.whenStopped("stop");
  }

  async restart(waitMs: number, by: string): Promise<void> {
    await this.startAt(await this.stopForRestart(by, "running"), waitMs, "restart", by, "running");
  }

  /**
   * Stops it and begins to start it again, within a turn that is under way already. One on demand stays so: it is its
   * config that a person has changed.
   * @returns the moment of it, for {@link waitForOutcome}
   * @throws OvertakenError, OperationFailedError
   */
  async restartInTurn(by: string): Promise<Moment> {
    const intent = this.state.intent === "on-demand" ? null : "running";
    const moment = await this.stopForRestart(by, intent);
    await this.beginStart("restart", moment, by, intent);
    return moment;
  }

  /** @param intent as of {@link startAt} @throws OvertakenError */
  private async stopForRestart(by: string, intent: Intent | null): Promise<Moment> {
    await this.intent.settled;
    if (this.turns.isClosed) throw this.turns.refusal("restart");
    const moment = this.turns.overtake("another restart");
    // It should run all the while: a daemon that dies in the middle leaves that to the next one. Where that cannot
    // be stored, what runs is left alone.
    if (intent !== null && this.state.intent !== intent) await this.intent.set(intent);
    moment.check("restart");
    this.turns.checkThere();
    this.run.requestStop(false, by);
    await this.run.whenStopped("restart");
    return moment;
  }

  /**
   * At the end of the daemon: it should run again later, so what should be stays.
   * @returns false where what it runs outlives SIGKILL
   */
  async shutDown(): Promise<boolean> {
    this.turns.close();
    // One that failed stays failed: why is still of interest after the next boot. One that is being stopped keeps its
    // grace time: this is no second stop.
    if (this.run.isActive && !isAtRest(this.state.current)) this.run.requestStop(false, "the end of the daemon");
    return this.run.overOrStuck();
  }

  /** At the end of the daemon, when its models go on. @returns false where what is to be stopped outlives SIGKILL */
  async letGo(): Promise<boolean> {
    this.turns.close();
    // A stop that was asked for is done with first.
    if (this.state.current !== "stopping") this.run.detach();
    // Nothing happens to what goes on, and those that wait for it are to be told all the same.
    this.state.touch();
    return this.run.overOrStuck();
  }

  /** @param intent what is stored as wished for; null: it stays as it is */
  private async startAt(
    moment: Moment,
    waitMs: number,
    verb: OperationVerb,
    by: string,
    intent: Intent | null,
  ): Promise<void> {
    const began = performance.now();
    let itsTurn = false;
    const begun = this.turns.take(() =>
      this.beginStart(verb, moment, by, intent, () => {
        itsTurn = true;
      }),
    );
    // The time is the caller's: waiting for the end of what ran before counts as well.
    if ((await isLate(begun, waitMs)) && !itsTurn) return void begun.catch(() => undefined);
    await begun;
    await this.waitForOutcome(waitMs - (performance.now() - began), moment, verb);
  }

  /** @param onTurn told when it is begun, and no other operation is waited for any more */
  private async beginStart(
    verb: OperationVerb,
    moment: Moment,
    by: string,
    intent: Intent | null,
    onTurn = () => {},
  ): Promise<void> {
    const check = (): void => {
      if (this.turns.isClosed || moment.isOvertaken) throw this.turns.refusal(verb);
    };
    check();
    const { current } = this.state;
    const isUnderWay = current === "running" || current === "starting";
    if (isUnderWay && (intent === null || this.state.intent === intent)) return;
    if (!isUnderWay) await this.run.over;
    await this.storeStart(verb, intent, !isUnderWay, () => {
      check();
      onTurn();
      if (!isUnderWay) this.begin(by);
    });
  }

  private begin(by: string): void {
    const crash = this.earlierCrash;
    this.earlierCrash = null;
    this.state.change("start", crash?.message ?? `asked to start by ${by}`, {
      error_message: crash?.message ?? null,
      retry_count: crash?.count ?? 0,
      failure: crash === null ? null : this.state.observed.failure,
      restarts: 0,
      loading: null,
    });
    this.run.begin({ tally: crash?.tally });
  }

  /**
   * A start that cannot be recorded is no start: after a crash it would be forgotten. One that was wished for before
   * (at boot, say) is stored already.
   */
  private async storeStart(
    verb: OperationVerb,
    intent: Intent | null,
    begins: boolean,
    begin: () => void,
  ): Promise<void> {
    if (intent === null) return begin();
    try {
      await this.intent.set(intent, begin);
    } catch (error) {
      if (!(error instanceof NotSavedError)) throw error;
      if (this.state.intent === intent) return;
      if (begins) {
        this.run.requestStop(false, "a start that could not be stored");
        await this.run.over;
      }
      throw new OperationFailedError(verb, error.message);
    }
  }

  /** Resolves when it is ready, or after so many milliseconds, at once where none are left. @throws OvertakenError, OperationFailedError */
  waitForOutcome(waitMs: number, moment: Moment, verb: OperationVerb): Promise<void> {
    const { state, events } = this;
    const isThere = (): boolean => {
      moment.check(verb);
      if (state.current === "failed")
        throw new OperationFailedError(verb, state.observed.error_message ?? "unknown reason");
      return state.current === "running";
    };
    return events.until(state.id, isThere, Math.max(0, waitMs));
  }
}
