import { backendOf } from "../backends/index.ts";
import type { Instance, InstanceConfig, InstanceStatus } from "../contract/index.ts";
import { InstanceLog } from "../logs/instance-log.ts";
import { PortError } from "../process/ports.ts";
import type { StoredInstance } from "../store/config-file.ts";
import {
  ConfigRefusedError,
  InstanceActiveError,
  InstanceNotFoundError,
  NotSavedError,
  OperationFailedError,
  type OperationVerb,
  OvertakenError,
  ShuttingDownError,
} from "./errors.ts";
import type { Host, LaunchRecord } from "./host.ts";
import { storedObserved, storedOf, viewOf } from "./instance-view.ts";
import { isAtRest, levelOf, nextStatus, type Transition } from "./machine.ts";
import { judge, type Tally, type Verdict } from "./restart-policy.ts";
import { failureShown, NO_FAULT, type Observed, REASON_LINES, Run, type RunOwner } from "./run.ts";
import { RuntimeTracker } from "./runtime-tracker.ts";
import { prepareLaunch, type ServerProcess, UnstartableError } from "./server-process.ts";
import { StateKeeper } from "./state-record.ts";
import { isLate, Watchers } from "./waiting.ts";

/** Beyond the grace time, for the system to clear away what was killed. */
const STOP_SLACK_MS = 8000;

type FoundDead = Pick<LaunchRecord, "crashes" | "started_at" | "first_seq">;

/** What ends an operation that waits. A deletion needs an instance at rest, so it waits its turn. */
type Overtaker = "a stop" | "another restart" | "the end of the daemon";

/** Gives the new config out of the present one; what it throws refuses the change. */
export type ConfigChange = (before: InstanceConfig) => InstanceConfig;

export interface InstanceOwner {
  /** Makes what is stored durable. */
  save(): Promise<void>;
  /** Something that the API shows has changed. */
  changed(instance: ManagedInstance): void;
}

/**
 * One instance. Operations on it go one after another; a stop overtakes all others at once. What
 * should be (`desired`) is kept apart from what is: only a run changes the latter.
 */
export class ManagedInstance implements RunOwner {
  readonly id: string;
  readonly createdAt: string;
  readonly log: InstanceLog;
  readonly tracker: RuntimeTracker;
  private readonly keeper: StateKeeper;
  config: InstanceConfig;
  /** What stood with it in the configuration and is another program's. */
  private readonly kept: StoredInstance["kept"];
  private status: InstanceStatus = "stopped";
  private desired: "running" | "stopped";
  private observed: Observed;
  private run: Run | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private saving: Promise<unknown> = Promise.resolve();
  /** The last change of `desired`, until it is stored or refused. */
  private wishing: Promise<unknown> = Promise.resolve();
  /** Grows with each stop, so that an operation knows that one came after it. */
  private stops = 0;
  /** What the last of those was. */
  private stopper: Overtaker = "a stop";
  private removed = false;
  /** The daemon ends: what was asked before, and waits for its turn, begins nothing any more. */
  private closing = false;
  /** What is to be made of a process that died while no daemon ran, at the start that follows. */
  private crash: Verdict | null = null;
  private json: string | null = null;
  private readonly watchers = new Watchers();

  constructor(
    private readonly host: Host,
    private readonly owner: InstanceOwner,
    stored: StoredInstance,
  ) {
    this.id = stored.id;
    this.createdAt = stored.created_at;
    this.config = stored.config;
    this.kept = stored.kept;
    this.desired = stored.desired;
    this.status = stored.status === "failed" ? "failed" : "stopped";
    this.observed = storedObserved(stored);
    const kept = host.states.read(this.id);
    this.keeper = new StateKeeper(
      kept,
      () => this.tracker.recordAt(this.log.nextSeq),
      (record) => host.states.write(this.id, record),
    );
    const onChanged = (): void => this.keeper.changed();
    const onReadyHint = (): void => this.run?.hint.give();
    const onLoading = (loading: Observed["loading"]): void => this.onLoading(loading);
    this.tracker = new RuntimeTracker(this.id, this.config, { onReadyHint, onLoading, onChanged }, kept);
    host.ports.keepFor(this.id, this.config.port);
    this.log = new InstanceLog(host.segments.read(this.id) ?? [], host.logs, {
      saveSegments: (segments) => host.segments.write(this.id, [...segments]),
      onBatch: ({ lines, timestamp, seq }) => this.tracker.readLines(lines, timestamp, seq),
      warn: (message) => host.journal.warn(message, { instance: this.id }),
    });
  }

  get currentStatus(): InstanceStatus {
    return this.status;
  }

  get shouldRun(): boolean {
    return this.desired === "running";
  }

  get isStopping(): boolean {
    return this.status === "stopping";
  }

  get failure(): Observed["failure"] {
    return this.observed.failure;
  }

  get restarts(): number {
    return this.observed.restarts;
  }

  get view(): Instance {
    const { id, config, status, createdAt } = this;
    const logProblem = isAtRest(status) ? null : this.host.logDisk.problem;
    const observed = { ...this.observed, error_message: this.observed.error_message ?? logProblem };
    return viewOf({ id, config, status, desired: this.desired, observed, createdAt, logFile: this.log.newestFile });
  }

  /** The view as JSON text, made once for each change. */
  get viewJson(): string {
    this.json ??= JSON.stringify(this.view);
    return this.json;
  }

  get stored(): StoredInstance {
    return { ...storedOf(this.view, this.desired), created_at: this.createdAt, kept: this.kept };
  }

  /**
   * What an earlier daemon had begun is finished, though it may not have come to save what it was
   * asked for: it records a start before it spawns, and a stop before it signals.
   */
  recall({ status, restart = this.shouldRun }: Pick<LaunchRecord, "status" | "restart">): void {
    this.desired = status !== "stopping" || restart ? "running" : "stopped";
  }

  /**
   * What had been running when the last daemon died, and has died since: a crash like any other, but that a boot
   * starts what should run. It is the next crash then that may be one too many.
   */
  async foundDead({ crashes, started_at, first_seq }: FoundDead): Promise<void> {
    await this.openLog();
    const lines = backendOf(this.config).reasonLines(this.log.lastLines(REASON_LINES, first_seq));
    const reason = ["the model server ended while no daemon ran", ...lines].join(": ");
    const last = this.log.read(this.log.nextSeq - 1, 1, null).entries.at(-1)?.timestamp ?? started_at;
    const ranFor = Math.max(0, Date.parse(last) - Date.parse(started_at));
    const tally = { ran: true, failedAttempts: 0, crashes: Math.min(crashes, this.host.policy.maxCrashes - 2) };
    const failure = { reason, final: false, ranFor };
    this.crash = judge(tally, failure, this.host.policy, 0);
    this.observed = { ...this.observed, failure: failureShown(this.crash, failure, null) };
  }

  /** Takes over what an earlier daemon left running. */
  adopt(server: ServerProcess): void {
    this.change("start", `process ${server.pid} was left by an earlier daemon`, {
      port: server.port,
      pid: server.pid,
      started_at: server.record.started_at,
      error_message: null,
      retry_count: server.record.retry_count,
    });
    if (server.record.status === "running")
      this.change("adopt-running", "it was running", { retry_count: server.record.crashes });
    this.beginRun(server);
    if (server.record.status !== "stopping") return;
    this.change("stop", "a stop was under way", {});
    this.run?.stop();
  }

  /**
   * Starts it and waits at most `waitMs` for it to be ready; starting or running already is as good.
   * @param by what asks for it, for the daemon's log
   * @throws OperationFailedError with the reason, OvertakenError where a stop came in between
   */
  async start(waitMs: number, by: string): Promise<void> {
    await this.wishing;
    return this.startAfter(this.stops, waitMs, "start", by);
  }

  /**
   * Resolves when nothing of it is left. A second call does not wait for the grace time.
   * @throws OperationFailedError where that cannot be stored: it goes on running, as the next boot would have it
   */
  async stop(by: string): Promise<void> {
    try {
      await this.wish("stopped");
    } catch (error) {
      throw new OperationFailedError("stop", (error as Error).message);
    }
    // What is left running for the next daemon is not stopped; that daemon knows that it should be.
    if (this.closing) throw new ShuttingDownError();
    this.overtakeAs("a stop");
    this.crash = null;
    this.requestStop(true, by);
    await this.whenStopped("stop");
  }

  async restart(waitMs: number, by: string): Promise<void> {
    await this.startAfter(await this.stopForRestart(by), waitMs, "restart", by);
  }

  /** @returns the count of stops, that one included @throws OvertakenError */
  private async stopForRestart(by: string): Promise<number> {
    await this.wishing;
    if (this.closing) throw this.overtaken("restart");
    const stops = this.overtakeAs("another restart");
    // It should run all the while: a daemon that dies in the middle leaves that to the next one. Where that cannot
    // be stored, what runs is left alone.
    if (this.desired !== "running") await this.wish("running");
    if (this.stops !== stops) throw this.overtaken("restart");
    this.requestStop(false, by);
    await this.whenStopped("restart");
    return stops;
  }

  /** Replaces the config. @param change gives the new one @throws InstanceActiveError, NotSavedError, what `change` throws */
  update(change: ConfigChange): Promise<void> {
    return this.enqueue(async () => {
      this.refuseRemoved();
      await this.atRest("update");
      await this.apply(change(this.config));
    });
  }

  /**
   * Replaces the config and has it run by that; one that is stopped stays so. What can be seen of the new one is looked
   * at while the old one runs, and a refusal leaves that as it was.
   * @throws ConfigRefusedError, NotSavedError, OvertakenError, what `change` throws; OperationFailedError where it then dies
   */
  async updateRunning(change: ConfigChange, waitMs: number, by: string): Promise<void> {
    const began = performance.now();
    const overtaken = await this.enqueue(async () => {
      this.refuseRemoved();
      if (this.status === "stopping") await this.run?.done;
      const config = change(this.config);
      if (this.status === "stopped") {
        await this.apply(config);
        return null;
      }
      const release = await this.refuseUnrunnable(config);
      try {
        await this.apply(config);
        const stops = await this.stopForRestart(by);
        const overtaken = (): boolean => this.stops !== stops;
        await this.beginStart("restart", overtaken, by);
        return overtaken;
      } catch (error) {
        release();
        throw error;
      }
    });
    if (overtaken !== null) await this.waitForOutcome(waitMs - (performance.now() - began), overtaken, "restart");
  }

  /** @returns how to give back the port that was taken for it */
  private async refuseUnrunnable(config: InstanceConfig): Promise<() => void> {
    const { host, id } = this;
    // One that it has, or that its config named before, is its own already, and not given back by a refusal.
    const isOwn = config.port === this.observed.port || config.port === this.config.port;
    const port = isOwn ? null : config.port;
    try {
      if (port !== null) await host.ports.reserve(id, port);
      await prepareLaunch(host, backendOf(config), config, port ?? 0);
    } catch (error) {
      if (port !== null) host.ports.release(port, id);
      const isRefusal = error instanceof UnstartableError || error instanceof PortError;
      throw isRefusal ? new ConfigRefusedError(error.message) : error;
    }
    return () => {
      if (port !== null) host.ports.release(port, id);
    };
  }

  private async apply(config: InstanceConfig): Promise<void> {
    const before = this.config;
    this.config = config;
    try {
      await this.save();
    } catch (error) {
      this.config = before;
      throw error;
    }
    this.host.ports.keepFor(this.id, config.port);
    this.announce();
  }

  /**
   * Runs `remove` with nothing else going on.
   * @param withLogs whether its log files go too
   * @throws InstanceActiveError
   */
  remove(remove: () => Promise<void>, withLogs: boolean): Promise<void> {
    return this.enqueue(async () => {
      this.refuseRemoved();
      await this.atRest("delete");
      await remove();
      this.removed = true;
      this.keeper.drop();
      if (withLogs) this.log.remove();
      else this.log.close();
    });
  }

  /** What was asked for behind a deletion finds nothing any more. @throws InstanceNotFoundError */
  private refuseRemoved(): void {
    if (this.removed) throw new InstanceNotFoundError();
  }

  /** One that has failed is at rest, but what it left behind may still have to be cleared away. */
  private async atRest(verb: "update" | "delete"): Promise<void> {
    if (isAtRest(this.status)) await this.run?.done;
    if (!isAtRest(this.status)) throw new InstanceActiveError(verb);
  }

  /**
   * At the end of the daemon: it should run again later, so `desired` stays.
   * @returns false where what it runs outlives SIGKILL
   */
  async shutDown(): Promise<boolean> {
    this.closing = true;
    this.overtakeAs("the end of the daemon");
    // One that failed stays failed: why is still of interest to whoever looks after the next boot. One that is
    // being stopped keeps its grace time: this is no second stop.
    if (this.run !== null && !isAtRest(this.status)) this.requestStop(false, "the end of the daemon");
    const ended = (await this.run?.overOrStuck()) ?? true;
    this.keeper.close();
    this.log.close();
    return ended;
  }

  /** At the end of the daemon, when its models go on. @returns false where what is to be stopped outlives SIGKILL */
  async letGo(): Promise<boolean> {
    this.closing = true;
    this.overtakeAs("the end of the daemon");
    // What is at work goes on being so.
    this.keeper.close();
    // A stop that was asked for is done with first.
    if (this.status !== "stopping") this.run?.detach();
    const ended = (await this.run?.overOrStuck()) ?? true;
    this.tracker.end();
    this.log.close();
    return ended;
  }

  /** A stop that is under way does not wait for the grace time any more. */
  hurry(): void {
    if (this.status === "stopping") this.run?.stop();
  }

  /** Makes what earlier daemons read of it known: lines, state and generations. */
  async openLog(): Promise<void> {
    await this.log.open();
    if (this.run !== null) {
      // One that was taken over while its log could not be read is followed from here on.
      this.log.follow();
      return;
    }
    await this.log.finish();
    this.tracker.end();
  }

  /** Starts it at boot; how that ends shows in its status. */
  startAtBoot(): void {
    this.start(0, "the boot").catch((error) =>
      this.host.journal.warn(`cannot start ${this.config.alias}: ${(error as Error).message}`, { instance: this.id }),
    );
  }

  /** The disk under its log is full now, or is not any more. */
  logDiskChanged(note: string | null): void {
    try {
      if (note !== null && !isAtRest(this.status)) this.log.note(note);
    } catch (error) {
      this.host.journal.warn(
        `${this.config.alias}: lines of its log are missing, which cannot be noted there: ${String(error)}`,
      );
    }
    this.announce();
  }

  saved(): Promise<unknown> {
    return this.saving;
  }

  change(transition: Transition | null, reason: string, observed: Partial<Observed>): void {
    const before = this.status;
    const next = transition === null ? before : nextStatus(before, transition);
    if (next === null) throw new Error(`instance ${this.id} cannot ${transition} while ${before}`);
    this.status = next;
    this.observed = { ...this.observed, ...observed };
    if (next !== before)
      this.host.journal[levelOf(transition)](`${this.config.alias}: ${before} -> ${next}: ${reason}`, {
        instance: this.id,
      });
    else this.host.journal.debug(`${this.config.alias}: ${reason}`, { instance: this.id });
    this.announce();
    this.owner.save().catch((error) => this.host.journal.warn(`cannot save the configuration: ${String(error)}`));
  }

  private onLoading(loading: Observed["loading"]): void {
    if (this.status !== "starting") return;
    this.observed = { ...this.observed, loading };
    this.announce();
  }

  private announce(): void {
    this.json = null;
    this.owner.changed(this);
    this.watchers.tell();
  }

  private beginRun(adopted: ServerProcess | null, tally?: Tally): void {
    const run = new Run(this.host, this, adopted, tally);
    this.run = run;
    void run.done.finally(() => {
      if (this.run === run) this.run = null;
    });
  }

  private async startAfter(stops: number, waitMs: number, verb: OperationVerb, by: string): Promise<void> {
    const overtaken = (): boolean => this.stops !== stops;
    const began = performance.now();
    let itsTurn = false;
    const begun = this.enqueue(() =>
      this.beginStart(verb, overtaken, by, () => {
        itsTurn = true;
      }),
    );
    // The time is the caller's: waiting for the end of what ran before counts as well.
    if ((await isLate(begun, waitMs)) && !itsTurn) return void begun.catch(() => undefined);
    await begun;
    await this.waitForOutcome(Math.max(0, waitMs - (performance.now() - began)), overtaken, verb);
  }

  /** @param onTurn told when it is begun, and no other operation is waited for any more */
  private async beginStart(
    verb: OperationVerb,
    overtaken: () => boolean,
    by: string,
    onTurn = () => {},
  ): Promise<void> {
    this.refuseRemoved();
    const isOver = (): boolean => this.closing || overtaken();
    if (isOver()) throw this.overtaken(verb);
    if (this.status === "running" || this.status === "starting") return;
    await this.run?.done;
    await this.saveStart(verb, () => {
      if (isOver()) throw this.overtaken(verb);
      onTurn();
      const crash = this.crash;
      this.crash = null;
      const told = crash?.type === "again" ? crash.describe : null;
      this.change("start", told ?? `asked to start by ${by}`, {
        error_message: told,
        retry_count: crash?.count ?? 0,
        failure: told === null ? null : this.observed.failure,
        restarts: 0,
        loading: null,
      });
      this.beginRun(null, crash?.tally);
    });
  }

  /**
   * Changes what should be, one change after another; where it cannot be stored, it is what it was before.
   * @param begin what is begun before the disk is waited for
   */
  private wish(desired: "running" | "stopped", begin?: () => void): Promise<void> {
    const stored = this.wishing.then(async () => {
      const before = this.desired;
      this.desired = desired;
      if (desired !== before) this.announce();
      try {
        begin?.();
        await this.save();
      } catch (error) {
        this.desired = before;
        this.announce();
        throw error;
      }
    });
    this.wishing = stored.catch(() => undefined);
    return stored;
  }

  /**
   * A start that cannot be recorded is no start: after a crash nobody would know of it. One that was wished for
   * before (at boot, say) is stored already.
   */
  private async saveStart(verb: OperationVerb, begin: () => void): Promise<void> {
    try {
      await this.wish("running", begin);
    } catch (error) {
      if (!(error instanceof NotSavedError)) throw error;
      if (this.desired === "running") return;
      this.requestStop(false, "a start that could not be stored");
      await this.run?.done;
      throw new OperationFailedError(verb, error.message);
    }
  }

  private waitForOutcome(waitMs: number, overtaken: () => boolean, verb: OperationVerb): Promise<void> {
    return this.watchers.until(() => {
      if (overtaken()) throw this.overtaken(verb);
      if (this.status === "failed")
        throw new OperationFailedError(verb, this.observed.error_message ?? "unknown reason");
      return this.status === "running";
    }, waitMs);
  }

  /** @param again whether a stop that is already under way is hurried */
  private requestStop(again: boolean, by: string): void {
    if (this.status === "stopping") {
      if (again) this.run?.stop();
      return;
    }
    // A run that is over, and is about to be forgotten, can be told nothing any more.
    if (this.status === "stopped") return;
    if (this.run === null || this.run.finished) {
      // Failed: nothing runs, so that it is stopped at once.
      this.change("stop", `asked to stop by ${by}`, {});
      this.change("ended", "nothing ran", NO_FAULT);
      return;
    }
    this.change("stop", `asked to stop by ${by}`, {});
    this.run.stop();
  }

  private async whenStopped(verb: OperationVerb): Promise<void> {
    const { run } = this;
    if (run === null) return;
    const limit = this.host.stopTimeout + STOP_SLACK_MS;
    if (await isLate(run.done, limit))
      throw new OperationFailedError(verb, this.observed.error_message ?? `it has not ended within ${limit / 1000} s`);
  }

  private save(): Promise<void> {
    const saving = this.owner.save().catch((error: unknown) => {
      throw new NotSavedError(error);
    });
    this.saving = saving.catch(() => undefined);
    return saving;
  }

  private overtakeAs(stopper: Overtaker): number {
    this.stopper = stopper;
    this.stops += 1;
    return this.stops;
  }

  private overtaken(verb: OperationVerb): OvertakenError {
    return new OvertakenError(
      `The ${verb} was overtaken by ${verb === "start" && this.stopper === "another restart" ? "a restart" : this.stopper}`,
    );
  }

  private enqueue<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.queue.then(operation);
    this.queue = result.catch(() => undefined);
    return result;
  }
}
