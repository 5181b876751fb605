import type { Endpoint } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import type { ModelServer } from "../model-server/model-server.ts";
import { Attempt, type AttemptContext } from "./attempt.ts";
import { againMessage, describeFailure, failureFacts, givenUpMessage } from "./error-message.ts";
import { NO_FAULT, NO_PROCESS } from "./instance-state.ts";
import { type Failure, freshTally, judge, type Tally, type Verdict } from "./restart-policy.ts";

export interface RunStart {
  /** A process that an earlier daemon started, to be taken over. */
  adopted?: ModelServer;
  /** What had gone wrong before, where it goes on from there. */
  tally?: Tally | undefined;
  /** Resolves when what was last asked of the instance is stored, or could not be. */
  saved: () => Promise<unknown>;
}

/** One that was loading again after a crash has run before. */
const tallyOf = ({ record: { status, retry_count, crashes } }: ModelServer): Tally => {
  const ran = status === "running" || crashes > 0;
  return { ran, failedAttempts: ran ? 0 : retry_count, crashes };
};

/**
 * One wish to have an instance run, from its start until a stop or until it is given up: an attempt, a judgement, a
 * pause, the next attempt. It is the only writer of what is seen of its instance meanwhile.
 */
export class Run {
  /** Resolves when it is over and nothing of it is left. */
  readonly done: Promise<void>;
  private readonly ended = new AbortController();
  private isDetached = false;
  /** It has given up, and nothing that is asked of it is done any more. */
  isFinished = false;
  private tally: Tally;
  private attempt: Attempt;

  constructor(
    private readonly context: AttemptContext,
    private readonly start: RunStart,
  ) {
    const { adopted = null, tally = freshTally } = start;
    this.tally = adopted === null ? tally : tallyOf(adopted);
    this.attempt = new Attempt(context, this.tally, adopted);
    this.done = this.loop().catch((error: unknown) => this.breakOff(error));
  }

  /** Ends it, wherever it is. */
  stop(): void {
    this.attempt.stop();
    this.ended.abort();
  }

  /** What is being ended does not get its grace time any more: what is stopped, and what is left of one that failed. */
  hurry(): void {
    this.attempt.hurry();
  }

  /** Lets go of the process without touching it: for a daemon that ends while its models go on. */
  detach(): void {
    this.isDetached = true;
    this.attempt.detach();
    this.ended.abort();
  }

  /** The log says that the server can answer. */
  hintReady(): void {
    this.attempt.hintReady();
  }

  /** Resolves when it is over, or with false when what it is to end outlives SIGKILL. */
  overOrStuck(): Promise<boolean> {
    return Promise.race([this.done.then(() => true), this.attempt.outlivesKill]);
  }

  /** Where its process listens; null while it has none. */
  get endpoint(): Endpoint | null {
    return this.attempt.endpoint;
  }

  private get isOver(): boolean {
    return this.ended.signal.aborted;
  }

  private async loop(): Promise<void> {
    const { host, state } = this.context;
    while (!this.isOver) {
      const { attempt } = this;
      const failure = await attempt.live();
      if (failure === null || this.isOver) break;
      const verdict = judge(this.tally, failure, host.policy, Math.random());
      this.tally = verdict.tally;
      const cleared = attempt.clear(attempt.graceAfterFailure, verdict.type === "again");
      await Promise.all([cleared, this.tell(verdict, failure)]);
      // A stop may have come while what it left behind was cleared away.
      this.isFinished = verdict.type === "give-up" && !this.isOver;
      if (this.isFinished) return;
      if (!this.isOver) this.attempt = new Attempt(this.context, this.tally, null, attempt.heldPort);
    }
    if (this.isDetached) return;
    await this.attempt.clear(host.stopTimeout, false, this.start.saved());
    state.change("ended", "stopped", { ...NO_PROCESS, ...NO_FAULT });
  }

  /** Shows what has failed, and waits for the next attempt where there is one. */
  private async tell(verdict: Verdict, failure: Failure): Promise<void> {
    const { host, state } = this.context;
    const facts = {
      ...NO_PROCESS,
      restarts: state.observed.restarts + (verdict.tally.ran ? 1 : 0),
      retry_count: verdict.count,
    };
    if (verdict.type === "give-up") {
      const message = givenUpMessage(verdict, failure);
      state.change("fail", message, {
        ...facts,
        failure: failureFacts(verdict, failure, null),
        error_message: message,
      });
      return;
    }
    const next = new Date(Date.now() + verdict.delay).toISOString();
    const failed = failureFacts(verdict, failure, next);
    const message = againMessage(describeFailure(verdict, failure, host.policy), verdict.delay, next);
    const transition = failure.ranFor === null ? null : "crash";
    state.change(transition, message, { ...facts, failure: failed, error_message: message });
    await this.pause(verdict.delay);
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      const cut = (): void => {
        clearTimeout(timer);
        resolve();
      };
      if (this.isOver) cut();
      else this.ended.signal.addEventListener("abort", cut, { once: true });
    });
  }

  /** A fault that was not foreseen must not leave an instance that neither runs nor can be started again. */
  private async breakOff(error: unknown): Promise<void> {
    const { host, state } = this.context;
    const reason = `unexpected error: ${systemProblem(error)}`;
    host.journal.error(reason, { instance: state.id, stack: error instanceof Error ? error.stack : undefined });
    this.isFinished = true;
    await this.attempt.clear(host.stopTimeout, false).catch(() => undefined);
    const failure = failureFacts({ count: 1 }, { reason }, null);
    const transition = state.current === "stopping" ? "ended" : "fail";
    state.change(transition, reason, { ...NO_PROCESS, error_message: reason, failure });
  }
}
