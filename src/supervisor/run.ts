import { type Backend, backendOf } from "../backends/index.ts";
import type { InstanceConfig, InstanceFailure, LoadingProgress } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { isSame } from "../process/identity.ts";
import { oomKills } from "../process/oom-kills.ts";
import { isOwnAddress } from "../process/own-address.ts";
import { PortError } from "../process/ports.ts";
import type { Host } from "./host.ts";
import { type SignsOfWork, watchLiveness } from "./liveness.ts";
import type { Transition } from "./machine.ts";
import { type Endpoint, ReadyHint, waitUntilReady } from "./readiness.ts";
import { judgeKill, reasonOfExit } from "./reason.ts";
import { type Failure, freshTally, judge, type Tally, type Verdict } from "./restart-policy.ts";
import type { RuntimeTracker } from "./runtime-tracker.ts";
import { type ServerProcess, startProcess, UnstartableError } from "./server-process.ts";
import { targetOf, terminate } from "./termination.ts";

/** What a run may change of its instance; only one run writes at a time. */
export interface Observed {
  port: number | null;
  pid: number | null;
  started_at: string | null;
  error_message: string | null;
  retry_count: number;
  failure: InstanceFailure | null;
  restarts: number;
  loading: LoadingProgress | null;
}

export interface RunOwner {
  readonly id: string;
  readonly config: InstanceConfig;
  readonly log: InstanceLog;
  readonly tracker: RuntimeTracker;
  /** Whether it should run, once what is under way is done. */
  readonly shouldRun: boolean;
  /** As the API shows them. */
  readonly failure: InstanceFailure | null;
  readonly restarts: number;
  /** Resolves when what was last asked of it is stored, or could not be. */
  saved(): Promise<unknown>;
  change(transition: Transition | null, reason: string, observed: Partial<Observed>): void;
}

/** Lines of the end of a log in which the reason of a death is looked for. */
export const REASON_LINES = 400;
/** What a dead leader left behind is not asked for long. */
const LEFTOVER_GRACE_MS = 2000;
const TERMINATE_AGAIN_MS = 500;

const signsOfWork = ({ tracker, log }: Pick<RunOwner, "tracker" | "log">): SignsOfWork => ({
  get busy() {
    return tracker.mayBeBusy;
  },
  get lines() {
    return log.nextSeq;
  },
  get stuckFor() {
    return tracker.stuckFor;
  },
});

const IDLE_PROCESS: Partial<Observed> = { port: null, pid: null, started_at: null, loading: null };

export const failureShown = (
  { count }: Verdict,
  { reason, end = { exit_code: null, signal: null, log_lines: [] } }: Failure,
  next: string | null,
): InstanceFailure => ({ reason, ...end, attempts: count, at: new Date().toISOString(), next_attempt_at: next });

/** What is left of failures after a stop: how often it had crashed stays to be seen. */
export const NO_FAULT = { error_message: null, retry_count: 0, failure: null } as const satisfies Partial<Observed>;

/**
 * One wish to have an instance run, from its start until a stop or until it is given up: attempts,
 * readiness, crashes and restarts in one loop, the only writer of its instance meanwhile.
 */
export class Run {
  readonly done: Promise<void>;
  private outlived = Promise.withResolvers<false>();
  readonly hint = new ReadyHint();
  private readonly backend: Backend;
  private readonly ended = new AbortController();
  private escalated = false;
  private detached = false;
  /** It has given up, and nothing that is asked of it is done any more. */
  finished = false;
  private process: ServerProcess | null;
  private port: number | null = null;

  /**
   * @param adopted a process that an earlier daemon started, to be taken over
   * @param tally what had gone wrong before, where it goes on from there
   */
  constructor(
    private readonly host: Host,
    private readonly owner: RunOwner,
    adopted: ServerProcess | null,
    private tally: Tally = freshTally,
  ) {
    this.backend = backendOf(owner.config);
    this.process = adopted;
    if (adopted !== null) {
      this.port = adopted.port;
      host.ports.adopt(adopted.port, owner.id);
      const { status, retry_count, crashes } = adopted.record;
      // One that was loading again after a crash has run before.
      const ran = status === "running" || crashes > 0;
      this.tally = { ran, failedAttempts: ran ? 0 : retry_count, crashes };
    }
    this.done = this.loop();
  }

  /** Ends it, wherever it is. A second time: without waiting for the grace time. */
  stop(): void {
    if (this.ended.signal.aborted) this.escalated = true;
    this.markStopping();
    this.ended.abort();
    this.hint.give();
  }

  /** Resolves when it is over, or with false when what it is to end outlives SIGKILL. */
  overOrStuck(): Promise<boolean> {
    return Promise.race([this.done.then(() => true), this.outlived.promise]);
  }

  /** Lets go of the process without touching it: for a daemon that ends while its models go on. */
  detach(): void {
    this.detached = true;
    this.ended.abort();
    this.hint.give();
  }

  /** One that hangs is still led by its own process, which may leave as at a stop; what a dead leader left may not. */
  private graceBetween(): number {
    const identity = this.process?.record.process ?? null;
    return identity !== null && isSame(identity) ? this.host.stopTimeout : LEFTOVER_GRACE_MS;
  }

  private get over(): boolean {
    return this.ended.signal.aborted;
  }

  /** A daemon that comes back finishes a stop that was begun. */
  private markStopping(): void {
    if (this.process !== null) this.record(this.process, "stopping");
  }

  private async loop(): Promise<void> {
    while (!this.over) {
      const failure = await this.attempt();
      if (failure === null || this.over) break;
      const verdict = judge(this.tally, failure, this.host.policy, Math.random());
      this.tally = verdict.tally;
      await Promise.all([this.clear(this.graceBetween(), verdict.type === "again"), this.pause(verdict, failure)]);
      // A stop may have come while what it left behind was cleared away.
      this.finished = verdict.type === "give-up" && !this.over;
      if (this.finished) return;
    }
    if (this.detached) return;
    await this.clear(this.host.stopTimeout, false, this.owner.saved());
    this.owner.change("ended", "stopped", { ...IDLE_PROCESS, ...NO_FAULT });
  }

  /** One process from its start to its end; null where the run was ended meanwhile. */
  private async attempt(): Promise<Failure | null> {
    const leave = await this.enterGate();
    if (leave === null) return null;
    try {
      const server = await this.obtain();
      if (server === null) return null;
      const wasRunning = server.record.status === "running";
      const exit = server.exited.then((code) => ({ code }));
      if (!wasRunning) {
        const failure = await this.becomeReady(server, exit);
        if (failure !== "ready") return failure;
      }
      leave();
      return await this.keepRunning(server, exit, wasRunning);
    } catch (error) {
      return this.failureOf(error);
    } finally {
      leave();
    }
  }

  /** What runs already loads nothing, and what an earlier daemon had let in is in. */
  private async enterGate(): Promise<(() => void) | null> {
    const { gate } = this.host;
    if (this.process === null) return gate.enter(this.ended.signal, this.owner.config.priority);
    return this.process.record.status === "running" ? () => undefined : gate.join();
  }

  /** Where it listens: as it was told at its start, whatever its config says by now. */
  private endpointOf({ record, port }: ServerProcess): Endpoint {
    return { host: record.host ?? this.owner.config.host, port, healthPath: this.backend.healthPath };
  }

  private failureOf(error: unknown): Failure {
    const reason = error instanceof Error ? error.message : String(error);
    const final = error instanceof UnstartableError || error instanceof PortError;
    // What neither the config nor the system is to blame for is a fault of ours, which somebody has to see.
    if (!final && !(error instanceof Error && "code" in error)) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.host.journal.warn(`unexpected error: ${reason}`, { instance: this.owner.id, stack });
    }
    return { reason, final, ranFor: null };
  }

  private async obtain(): Promise<ServerProcess | null> {
    if (this.process !== null) return this.process;
    const { owner, host } = this;
    this.port = await host.ports.reserve(owner.id, owner.config.port);
    if (this.over) return null;
    // What the last process wrote is read to its end before the next one's lines are taken for its own.
    await owner.log.open();
    await owner.log.finish();
    if (this.over) return null;
    owner.tracker.begin(this.backend);
    const counts = { crashes: this.tally.crashes, retry_count: this.tally.failedAttempts };
    const server = await startProcess(host, owner.id, this.backend, owner.config, this.port, owner.log, counts);
    this.process = server;
    if (this.over && !this.detached) this.markStopping();
    owner.log.follow();
    owner.change(null, `process ${server.pid} started on port ${server.port}`, {
      port: server.port,
      pid: server.pid,
      started_at: server.record.started_at,
      failure: owner.failure && { ...owner.failure, next_attempt_at: null },
    });
    return server;
  }

  private async becomeReady(server: ServerProcess, exit: Promise<{ code: Awaited<ServerProcess["exited"]> }>) {
    let exited = false;
    void exit.then(() => {
      exited = true;
      this.hint.give();
    });
    const { owner } = this;
    const readiness = waitUntilReady(this.endpointOf(server), server.pid, this.hint, {
      ended: () => exited || this.over,
      listens: () => owner.tracker.listens,
      report: (problem) => owner.change(null, problem, { error_message: problem }),
    });
    const first = await Promise.race([exit, readiness]);
    if (first !== null && "code" in first) return this.over ? null : this.deathOf(server, first.code, null);
    if (first === null) return this.over ? null : this.deathOf(server, (await exit).code, null);
    if (!first.ready) return { reason: first.reason, final: this.owner.config.port !== null, ranFor: null };
    return this.over ? null : ("ready" as const);
  }

  private async keepRunning(
    server: ServerProcess,
    exit: Promise<{ code: Awaited<ServerProcess["exited"]> }>,
    adopted: boolean,
  ): Promise<Failure | null> {
    const { owner, host } = this;
    const before = adopted ? Math.max(0, Date.now() - Date.parse(server.record.started_at)) : 0;
    const since = performance.now() - before;
    this.tally = { ...this.tally, ran: true, failedAttempts: 0 };
    if (!adopted) {
      // What went wrong before is over; how often it did in a row is told until it has run stably.
      owner.change("ready", "its health check answers", {
        error_message: null,
        retry_count: this.tally.crashes,
        loading: null,
      });
      this.record(server, "running");
    }
    owner.tracker.attach(this.backend, this.endpointOf(server), owner.config);
    const stable = setTimeout(() => this.settle(), Math.max(0, host.policy.stableAfter - before));
    const liveness = watchLiveness(host, this.endpointOf(server), signsOfWork(owner), (message) =>
      owner.change(null, message ?? "it answers again", { error_message: message }),
    );
    try {
      const first = await Promise.race([exit, liveness.hung, this.whenOver()]);
      if (first === null || this.over) return null;
      const ranFor = performance.now() - since;
      if ("hung" in first) return { reason: first.hung, final: false, ranFor };
      return await this.deathOf(server, first.code, ranFor);
    } finally {
      clearTimeout(stable);
      liveness.end();
      owner.tracker.end();
    }
  }

  /** After a stable run, old crashes do not count any more. */
  private settle(): void {
    if (this.over || (this.tally.crashes === 0 && this.owner.failure === null)) return;
    this.tally = { ...this.tally, crashes: 0 };
    this.owner.change(null, "it runs stably", { retry_count: 0, failure: null });
    if (this.process !== null) this.record(this.process, "running");
  }

  private whenOver(): Promise<null> {
    return new Promise((resolve) => {
      if (this.over) resolve(null);
      else this.ended.signal.addEventListener("abort", () => resolve(null), { once: true });
    });
  }

  private async deathOf(
    { record, oomKills: before }: ServerProcess,
    code: Awaited<ServerProcess["exited"]>,
    ranFor: number | null,
  ): Promise<Failure> {
    const { backend, owner } = this;
    await owner.log.settle();
    const lines = owner.log.lastLines(REASON_LINES, record.first_seq);
    const cause = backend.deathCause(lines);
    const kill = code?.signal === "SIGKILL" ? judgeKill(before, oomKills()) : null;
    const host = record.host ?? owner.config.host;
    const noAddress = cause?.type === "bind" && !(await isOwnAddress(host));
    const told = [
      ...(noAddress ? [`host: '${host}' is no address of this machine`] : []),
      ...backend.reasonLines(lines),
      ...(cause?.type === "memory" ? [cause.advice] : []),
    ];
    // One that ran has shown that it fits: what it held is free again.
    const tooBig = ranFor === null && !this.tally.ran && (cause?.type === "memory" || kill === "out-of-memory");
    const exits = typeof code?.code === "number" && backend.isFinalExit(code.code);
    const final = exits || noAddress || tooBig || (ranFor === null && cause?.type === "lasting");
    const end = { exit_code: code?.code ?? null, signal: code?.signal ?? null, log_lines: backend.reasonLines(lines) };
    return { reason: reasonOfExit(code, told, kill), final, ranFor, end };
  }

  private async pause(verdict: Verdict, failure: Failure): Promise<void> {
    const { owner } = this;
    const next = verdict.type === "again" ? new Date(Date.now() + verdict.delay).toISOString() : null;
    const told = {
      failure: failureShown(verdict, failure, next),
      restarts: owner.restarts + (verdict.tally.ran ? 1 : 0),
      retry_count: verdict.count,
    };
    if (verdict.type === "give-up") {
      owner.change("fail", verdict.message, { ...IDLE_PROCESS, error_message: verdict.message, ...told });
      return;
    }
    const seconds = (verdict.delay / 1000).toFixed(1);
    const message = `${verdict.describe}; next attempt in ${seconds} s, at ${next}`;
    const observed = { ...IDLE_PROCESS, error_message: message, ...told };
    owner.change(failure.ranFor === null ? null : "crash", message, observed);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, verdict.delay)), this.whenOver()]);
  }

  /**
   * Ends what is left of the process and gives back what it held.
   * @param again whether it is started again: then a port that its config names stays its own meanwhile
   * @param saved the wish that led here: until that is stored, the record tells of it
   */
  private async clear(graceMs: number, again: boolean, saved?: Promise<unknown>): Promise<void> {
    const server = this.process;
    if (server !== null) {
      // Its record stays until nothing of it is left, so that no daemon's death leaves an orphan.
      await this.terminate(server, graceMs);
      this.process = null;
      // What outlived SIGKILL for a while has gone all the same.
      this.outlived = Promise.withResolvers<false>();
    }
    try {
      await this.owner.log.finish();
    } catch (error) {
      // The process is gone all the same, and what of its log was read stays.
      this.host.journal.warn(`cannot read the end of the log of ${this.owner.id}: ${String(error)}`);
    }
    // The last of its lines may have said that it was at work.
    this.owner.tracker.end();
    await saved;
    this.forget();
    if (this.port !== null && !(again && this.owner.config.port === this.port)) {
      this.host.ports.release(this.port, this.owner.id);
      this.port = null;
    }
  }

  /** Goes on until nothing of it is left, also where it cannot be looked for now: too many files may be open, say. */
  private async terminate(server: ServerProcess, graceMs: number): Promise<void> {
    const onStuck = (message: string, outlived: boolean): void => {
      this.owner.change(null, message, { error_message: message });
      if (outlived) this.outlived.resolve(false);
    };
    for (;;) {
      try {
        return await terminate(targetOf(server), graceMs, () => this.escalated, onStuck);
      } catch (error) {
        this.host.journal.warn(`cannot end process ${server.pid} yet: ${String(error)}`, { instance: this.owner.id });
        await new Promise((resolve) => setTimeout(resolve, TERMINATE_AGAIN_MS));
      }
    }
  }

  private record(server: ServerProcess, status: "running" | "stopping"): void {
    server.record = { ...server.record, status, restart: this.owner.shouldRun, crashes: this.tally.crashes };
    try {
      this.host.launches.write(this.owner.id, server.record);
    } catch (error) {
      this.host.journal.warn(`cannot record the state of ${this.owner.id}: ${String(error)}`);
    }
  }

  /** A record that cannot be removed is of a process that is gone, which the next daemon sees. */
  private forget(): void {
    try {
      this.host.launches.remove(this.owner.id);
    } catch (error) {
      this.host.journal.warn(`cannot remove the record of ${this.owner.id}: ${String(error)}`);
    }
  }
}
