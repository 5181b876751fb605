import type { Backend } from "../backends/index.ts";
import type { Endpoint } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import type { InstanceConfig } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import type { ChildExit } from "../process/spawn.ts";
import { type Death, deathOf } from "./death.ts";
import { type LaunchedProcess, type LaunchOrder, launchProcess } from "./launch.ts";
import type { LaunchRecord } from "./launch-record.ts";
import { type SignsOfWork, watchLiveness } from "./liveness.ts";
import { ReadyHint, waitUntilReady } from "./readiness.ts";
import type { LaunchServices } from "./services.ts";
import { targetOf, terminate } from "./termination.ts";

/**
 * ONE model server, from its start to its end. This is the face of the room: a run calls these methods and nothing
 * behind them. What to do after an end is decided elsewhere (supervisor/restart-policy.ts).
 *
 * | method | race that it avoids |
 * | --- | --- |
 * | `start` | the daemon dies between spawn and record: the record and a mark in the environment come first |
 * | `adopt` | the pid has gone round: only a process with the recorded pid, start time and boot is taken |
 * | `untilReady` | another program answers on the port: the listener must be of this process group |
 * | `untilOver` | the server hangs and its process lives: health checks and its work are watched too |
 * | `stop` | a signal reaches a stranger, or a child outlives its leader: the group, by identity, until it is empty |
 * | `hurry` | a second stop waits for the grace time of the first |
 * | `detach` | the daemon ends first: the process and its record stay as they are for the next one |
 * | `exited` | each caller sees the same end, also one that comes late |
 */

/** What a dead leader left behind is not asked for long. */
const LEFTOVER_GRACE_MS = 2000;
const TERMINATE_AGAIN_MS = 500;

/** What its log and its slots tell of it, as of now. */
export interface SignsOfLife extends SignsOfWork {
  /** Whether its log says that it listens. */
  readonly listens: boolean;
}

/** Takes a sentence about what keeps it from being ready or from ending; null where that is over. */
export type Report = (problem: string | null) => void;

export type ReadyOutcome = { type: "ready" } | { type: "refused"; reason: string } | { type: "exited" | "left" };

export type EndOutcome = { type: "exited" | "left" } | { type: "hung"; reason: string };

export class ModelServer {
  /** Null where the exit code went to an earlier daemon. */
  readonly exited: Promise<ChildExit | null>;
  private readonly hint = new ReadyHint();
  private readonly left = Promise.withResolvers<{ type: "left" }>();
  private readonly stuck = Promise.withResolvers<void>();
  private isOver = false;
  /** As far as it is known: that of a process of an earlier daemon is looked for. */
  private hasEnded = false;
  private isHurried = false;

  private constructor(
    private readonly services: LaunchServices,
    private readonly id: string,
    private readonly backend: Backend,
    private readonly config: InstanceConfig,
    private readonly launched: LaunchedProcess,
  ) {
    this.exited = launched.exited;
    void this.exited.then(() => {
      this.isOver = true;
      this.hasEnded = true;
      this.hint.give();
    });
  }

  /** @throws UnstartableError where another start would be in vain; system errors otherwise */
  static async start(services: LaunchServices, order: LaunchOrder): Promise<ModelServer> {
    const launched = await launchProcess(services, order);
    return new ModelServer(services, order.id, order.backend, order.config, launched);
  }

  /** Takes over what an earlier daemon started. */
  static adopt(
    services: LaunchServices,
    { id, backend, config }: Pick<LaunchOrder, "id" | "backend" | "config">,
    found: LaunchedProcess,
  ): ModelServer {
    return new ModelServer(services, id, backend, config, found);
  }

  get pid(): number {
    return this.launched.pid;
  }

  get record(): LaunchRecord {
    return this.launched.record;
  }

  /** As it was told at its start, whatever its config says by now. */
  get endpoint(): Endpoint {
    return { host: this.record.host ?? this.config.host, port: this.record.port };
  }

  /** Its log says that it can answer: its health check is asked at once. */
  hintReady(): void {
    this.hint.give();
  }

  /** Waits until its health check answers 200 and it is this process that answers. There is no time limit. */
  async untilReady(signs: SignsOfLife, report: Report): Promise<ReadyOutcome> {
    const readiness = waitUntilReady({ ...this.endpoint, healthPath: this.backend.healthPath }, this.pid, this.hint, {
      ended: () => this.isOver,
      listens: () => signs.listens,
      report,
    });
    const first = await Promise.race([readiness, this.ended()]);
    if (first === null) return this.ended();
    if ("type" in first) return first;
    if (this.isOver) return this.ended();
    return first.ready ? { type: "ready" } : { type: "refused", reason: first.reason };
  }

  /** Watches it until it ends, hangs or is left. */
  async untilOver(signs: SignsOfLife, report: Report): Promise<EndOutcome> {
    const target = { ...this.endpoint, healthPath: this.backend.healthPath };
    const liveness = watchLiveness(this.services, target, signs, report);
    try {
      const hung = liveness.hung.then(({ hung: reason }): EndOutcome => ({ type: "hung", reason }));
      return await Promise.race([this.ended(), hung]);
    } finally {
      liveness.end();
    }
  }

  /** Why it ended, from its exit and the lines that this start wrote. */
  async death(log: InstanceLog): Promise<Death> {
    const exit = await this.exited;
    await log.settle();
    return deathOf(this.backend, { exit, launched: this.launched, host: this.endpoint.host, log });
  }

  /** Ends each wait for it and does not touch the process: a stop is to come, or the daemon ends while its models go on. */
  detach(): void {
    this.isOver = true;
    this.left.resolve({ type: "left" });
    this.hint.give();
  }

  /** A stop that is under way sends SIGKILL now. */
  hurry(): void {
    this.isHurried = true;
  }

  /** The grace time of one that failed: one that hangs may leave as at a stop, what a dead leader left may not. */
  get graceAfterFailure(): number {
    return this.hasEnded ? LEFTOVER_GRACE_MS : this.services.stopTimeout;
  }

  /** Resolves when it has outlived SIGKILL. */
  get outlivesKill(): Promise<void> {
    return this.stuck.promise;
  }

  /** Resolves when nothing of its group is left, also where that cannot be looked for now: too many files may be open. */
  async stop(graceMs: number, report: Report): Promise<void> {
    this.detach();
    const onStuck = (message: string, outlived: boolean): void => {
      report(message);
      if (outlived) this.stuck.resolve();
    };
    const target = { ...targetOf(this.launched), isRunning: () => this.launched.isChild && !this.hasEnded };
    for (;;) {
      try {
        return await terminate(target, graceMs, () => this.isHurried, onStuck);
      } catch (error) {
        this.warn(`cannot end process ${this.pid} yet: ${systemProblem(error)}`);
        await new Promise((resolve) => setTimeout(resolve, TERMINATE_AGAIN_MS));
      }
    }
  }

  /** Records where it stands, for a daemon that comes back. */
  note(facts: Pick<LaunchRecord, "status" | "crashes">): void {
    this.launched.record = { ...this.record, ...facts };
    try {
      this.services.launches.write(this.id, this.launched.record);
    } catch (error) {
      this.warn(`cannot record the state of process ${this.pid}: ${systemProblem(error)}`);
    }
  }

  private async ended(): Promise<{ type: "exited" | "left" }> {
    return Promise.race([this.left.promise, this.exited.then(() => ({ type: "exited" as const }))]);
  }

  private warn(message: string): void {
    this.services.journal.warn(message, { instance: this.id });
  }
}
