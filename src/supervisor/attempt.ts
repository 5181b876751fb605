import type { Backend } from "../backends/index.ts";
import type { Endpoint } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import type { InstanceConfig } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { ModelServer, type SignsOfLife } from "../model-server/model-server.ts";
import { UnstartableError } from "../model-server/prepare-launch.ts";
import { ageOf } from "../process/identity.ts";
import { PortError } from "../process/port-registry.ts";
import type { RuntimeTracker } from "../runtime/runtime-tracker.ts";
import type { Host } from "./host.ts";
import type { InstanceState } from "./instance-state.ts";
import type { Failure, Tally } from "./restart-policy.ts";

/** What an attempt works with: all of one instance. */
export interface AttemptContext {
  readonly host: Host;
  readonly backend: Backend;
  readonly config: InstanceConfig;
  readonly state: InstanceState;
  readonly log: InstanceLog;
  readonly tracker: RuntimeTracker;
}

/**
 * One attempt to have the model run: wait for a place, take a port, start the process, wait until it is ready, watch it
 * until it ends, clear away what is left. Whether there is another one is decided by the run.
 */
export class Attempt {
  private server: ModelServer | null = null;
  private port: number | null = null;
  private readonly ended = new AbortController();
  private isStopped = false;
  private isHurried = false;
  private crashes: number;
  private stuck = Promise.withResolvers<false>();

  /**
   * @param tally what went wrong before it
   * @param heldPort that the attempt before it has kept
   */
  constructor(
    private readonly context: AttemptContext,
    private readonly tally: Tally,
    adopted: ModelServer | null,
    heldPort: number | null = null,
  ) {
    this.crashes = tally.crashes;
    this.port = heldPort;
    if (adopted === null) return;
    this.server = adopted;
    this.port = adopted.endpoint.port;
    context.host.ports.adopt(this.port, context.state.id);
  }

  /** Resolves with false when what it is to end has outlived SIGKILL. */
  get outlivesKill(): Promise<false> {
    return this.stuck.promise;
  }

  /** Where its process listens; null while it has none. */
  get endpoint(): Endpoint | null {
    return this.server?.endpoint ?? null;
  }

  /** The port that it kept for the next attempt. */
  get heldPort(): number | null {
    return this.port;
  }

  /** Ends it, wherever it is: `live` comes back soon, and `clear` ends the process. */
  stop(): void {
    this.isStopped = true;
    // A daemon that comes back finishes a stop that was begun.
    this.note("stopping");
    this.detach();
  }

  /** A stop that is under way does not wait for the grace time any more. */
  hurry(): void {
    this.isHurried = true;
    this.server?.hurry();
  }

  /** As {@link stop}, but that the process goes on. */
  detach(): void {
    this.ended.abort();
    this.server?.detach();
  }

  /** The log says that the server can answer: its health check is asked at once. */
  hintReady(): void {
    this.server?.hintReady();
  }

  /** From the wait for a place to the death of the process; null where it was ended meanwhile. */
  async live(): Promise<Failure | null> {
    const leave = await this.enterGate();
    if (leave === null) return null;
    try {
      const server = this.server ?? (await this.start());
      if (server === null) return null;
      const isAdoptedReady = server.record.status === "running";
      if (!isAdoptedReady) {
        const failure = await this.untilReady(server);
        if (failure !== "ready") return failure;
      }
      leave();
      return await this.untilOver(server, isAdoptedReady);
    } catch (error) {
      return this.failureOf(error);
    } finally {
      leave();
    }
  }

  /** How long what it left behind may take to end by itself, in milliseconds. */
  get graceAfterFailure(): number {
    return this.server?.graceAfterFailure ?? 0;
  }

  /**
   * Ends what is left of the process and gives back what it held.
   * @param isTriedAgain then a port that its config names stays its own meanwhile
   * @param saved the wish that led here: until that is stored, the record tells of it
   */
  async clear(graceMs: number, isTriedAgain: boolean, saved?: Promise<unknown>): Promise<void> {
    const { host, state, log, tracker, config } = this.context;
    if (this.server !== null) {
      const { server } = this;
      if (this.isHurried) server.hurry();
      void server.outlivesKill.then(() => this.stuck.resolve(false));
      // Its record stays until nothing of it is left, so that no daemon's death leaves an orphan.
      await server.stop(graceMs, (message) => state.change(null, message ?? "", { error_message: message }));
      this.server = null;
      // What outlived SIGKILL for a while has gone all the same.
      this.stuck = Promise.withResolvers();
    }
    try {
      await log.finish();
    } catch (error) {
      // The process is gone all the same, and what of its log was read stays.
      this.warn(`cannot read the end of the log: ${systemProblem(error)}`);
    }
    // The last of its lines may have said that it was at work.
    tracker.end();
    await saved;
    try {
      host.launches.remove(state.id);
    } catch (error) {
      // A record that stays is of a process that is gone, which the next daemon sees.
      this.warn(`cannot remove its launch record: ${systemProblem(error)}`);
    }
    if (this.port === null || (isTriedAgain && config.port === this.port)) return;
    host.ports.release(this.port, state.id);
    this.port = null;
  }

  private get isOver(): boolean {
    return this.ended.signal.aborted;
  }

  /** What runs already loads nothing, and what an earlier daemon had let in is in. */
  private async enterGate(): Promise<(() => void) | null> {
    const { host, config } = this.context;
    if (this.server === null) return host.gate.enter(this.ended.signal, config.priority);
    return this.server.record.status === "running" ? () => undefined : host.gate.join();
  }

  private async start(): Promise<ModelServer | null> {
    const { host, backend, config, state, log, tracker } = this.context;
    this.port = await host.ports.reserve(state.id, config.port);
    if (this.isOver) return null;
    // What the last process wrote is read to its end before the next one's lines are taken for its own.
    await log.open();
    await log.finish();
    if (this.isOver) return null;
    tracker.begin(backend);
    const counts = { crashes: this.tally.crashes, retry_count: this.tally.failedAttempts };
    const server = await ModelServer.start(host, { id: state.id, backend, config, port: this.port, log, counts });
    this.server = server;
    if (this.isStopped) this.note("stopping");
    if (this.isOver) server.detach();
    log.follow();
    const { failure } = state.observed;
    state.change(null, `process ${server.pid} started on port ${this.port}`, {
      port: this.port,
      pid: server.pid,
      started_at: server.record.started_at,
      failure: failure && { ...failure, next_attempt_at: null },
    });
    return server;
  }

  private async untilReady(server: ModelServer): Promise<Failure | null | "ready"> {
    const { state, config } = this.context;
    const outcome = await server.untilReady(this.signs, (problem) =>
      state.change(null, problem ?? "", { error_message: problem }),
    );
    if (outcome.type === "refused") {
      return { reason: outcome.reason, outlook: config.port === null ? "open" : "same", ranFor: null };
    }
    if (this.isOver || outcome.type === "left") return null;
    return outcome.type === "ready" ? "ready" : this.deathOf(server, null);
  }

  private async untilOver(server: ModelServer, isAdoptedReady: boolean): Promise<Failure | null> {
    const { host, backend, config, state, tracker } = this.context;
    const { process } = server.record;
    const before = isAdoptedReady && process !== null ? ageOf(process) : 0;
    const since = performance.now() - before;
    if (!isAdoptedReady) {
      // What went wrong before is over; how often it did in a row is told until it has run stably.
      state.change("ready", "its health check answers", {
        error_message: null,
        retry_count: this.crashes,
        loading: null,
      });
      this.note("running");
    }
    tracker.attach(backend, server.endpoint, config);
    const stable = setTimeout(() => this.settle(), Math.max(0, host.policy.stableAfter - before));
    try {
      const outcome = await server.untilOver(this.signs, (problem) =>
        state.change(null, problem ?? "it answers again", { error_message: problem }),
      );
      if (this.isOver || outcome.type === "left") return null;
      const ranFor = performance.now() - since;
      if (outcome.type === "hung") return { reason: outcome.reason, outlook: "open", ranFor };
      return await this.deathOf(server, ranFor);
    } finally {
      clearTimeout(stable);
      tracker.end();
    }
  }

  /** After a stable run, old crashes do not count any more. */
  private settle(): void {
    const { state } = this.context;
    if (this.isOver || (this.crashes === 0 && state.observed.failure === null)) return;
    this.crashes = 0;
    state.change(null, "it runs stably", { retry_count: 0, failure: null });
    this.note("running");
  }

  private async deathOf(server: ModelServer, ranFor: number | null): Promise<Failure> {
    return { ...(await server.death(this.context.log)), ranFor };
  }

  private failureOf(error: unknown): Failure {
    const reason = systemProblem(error);
    const isFinal = error instanceof UnstartableError || error instanceof PortError;
    // A failure that is neither the config's nor the system's is a fault of ours, which has to be seen.
    if (!isFinal && !(error instanceof Error && "code" in error)) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.warn(`unexpected error: ${reason}`, stack);
    }
    return { reason, outlook: isFinal ? "same" : "open", ranFor: null };
  }

  private get signs(): SignsOfLife {
    const { tracker, log } = this.context;
    return {
      get listens() {
        return tracker.listens;
      },
      get busy() {
        return tracker.mayBeBusy;
      },
      get lines() {
        return log.nextSeq;
      },
      get stuckFor() {
        return tracker.stuckFor;
      },
    };
  }

  private note(status: "running" | "stopping"): void {
    this.server?.note({ status, crashes: this.crashes });
  }

  private warn(message: string, stack?: string): void {
    const { host, state } = this.context;
    host.journal.warn(`${state.config.alias}: ${message}`, {
      instance: state.id,
      ...(stack === undefined ? {} : { stack }),
    });
  }
}
