import { backendOf } from "../backends/index.ts";
import { systemProblem } from "../common/system-error.ts";
import type { Instance, InstanceConfig } from "../contract/index.ts";
import { InstanceLog } from "../logs/instance-log.ts";
import { StateKeeper } from "../runtime/kept-state.ts";
import { RuntimeTracker } from "../runtime/runtime-tracker.ts";
import type { StoredInstance } from "../store/stored-instance.ts";
import { holdPortOf } from "./config-change.ts";
import { CurrentRun } from "./current-run.ts";
import { InstanceActiveError } from "./errors.ts";
import type { EventStream } from "./events.ts";
import { type FoundDead, judgeFoundDead } from "./found-dead.ts";
import type { Host } from "./host.ts";
import { InstanceState } from "./instance-state.ts";
import { IntentKeeper } from "./intent.ts";
import { Lifecycle } from "./lifecycle.ts";
import { OperationQueue } from "./operation-queue.ts";
import { isAtRest } from "./status-transitions.ts";
import { type Lease, Leases } from "./usage-leases.ts";

/** Gives the new config out of the present one; what it throws refuses the change. */
export type ConfigChange = (before: InstanceConfig) => InstanceConfig;

/** What of the daemon an instance is built on. */
export interface InstanceServices {
  readonly host: Host;
  readonly events: EventStream;
  /** Makes the configuration durable. */
  readonly save: () => Promise<void>;
}

/**
 * One instance, put together of its parts: what it is (`state`), its life (`lifecycle`, and the `run` that it has now),
 * its log, and what its model server is doing (`tracker`). Here stand the changes of its config and its deletion.
 */
export class ManagedInstance {
  readonly id: string;
  readonly state: InstanceState;
  readonly lifecycle: Lifecycle;
  readonly run: CurrentRun;
  readonly log: InstanceLog;
  readonly tracker: RuntimeTracker;
  private readonly host: Host;
  private readonly keeper: StateKeeper;
  private readonly intent: IntentKeeper;
  private readonly turns = new OperationQueue();
  private readonly leases = new Leases();

  constructor({ host, events, save }: InstanceServices, stored: StoredInstance) {
    const { id } = stored;
    this.id = id;
    this.host = host;
    this.log = new InstanceLog(host.segments.read(id) ?? [], host.logs, {
      saveSegments: (segments) => host.segments.write(id, [...segments]),
      warn: (message) => host.journal.warn(message, { instance: id }),
    });
    this.state = new InstanceState(stored, this.log, host.logDisk, events);
    this.intent = new IntentKeeper(this.state, save);
    const kept = host.states.read(id);
    this.tracker = new RuntimeTracker(id, stored.config, kept);
    const present = () => this.tracker.keptAt(this.log.nextSeq);
    this.keeper = new StateKeeper(kept, present, (record) => host.states.write(id, record));
    const { state, intent, turns, log, tracker } = this;
    this.run = new CurrentRun({ host, state, intent, log, tracker });
    this.lifecycle = new Lifecycle({ events, state, intent, turns }, this.run);
    this.log.subscribe(({ lines, timestamp, seq }) => this.tracker.readLines(lines, timestamp, seq));
    this.publishRuntime(events);
    host.ports.keepFor(id, stored.config.port);
  }

  /** What its log tells goes to the parts that wait for it. */
  private publishRuntime(events: EventStream): void {
    const { id } = this;
    this.tracker.subscribe((event) => {
      switch (event.type) {
        case "ready":
          return this.run.hintReady();
        case "loading":
          return this.state.current === "starting" ? this.state.note({ loading: event.loading }) : undefined;
        case "kept":
          return this.keeper.changed();
        case "state":
          return events.publish({ type: "state", id, change: event.change });
        case "generation":
          return events.publish({ type: "generation", generation: event.generation });
      }
    });
  }

  get config(): InstanceConfig {
    return this.state.config;
  }

  get view(): Instance {
    return this.state.view;
  }

  /** Says that it is in use now, until the lease is released. */
  lease(): Lease {
    return this.leases.take();
  }

  /** How many leases are held, and for how many milliseconds none has been. */
  get use(): { leases: number; idleMs: number } {
    return { leases: this.leases.count, idleMs: this.leases.idleMs };
  }

  /** Replaces the config. @param change gives the new one @throws InstanceActiveError, NotSavedError, what `change` throws */
  update(change: ConfigChange): Promise<void> {
    return this.turns.take(async () => {
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
    const moment = await this.turns.take(async () => {
      if (this.state.current === "stopping") await this.run.over;
      const config = change(this.config);
      if (this.state.current === "stopped") {
        await this.apply(config);
        return null;
      }
      const release = await holdPortOf(config, this.host, this.state);
      try {
        await this.apply(config);
        return await this.lifecycle.restartInTurn(by);
      } catch (error) {
        release();
        throw error;
      }
    });
    if (moment === null) return;
    await this.lifecycle.waitForOutcome(waitMs - (performance.now() - began), moment, "restart");
  }

  private async apply(config: InstanceConfig): Promise<void> {
    const before = this.config;
    this.state.config = config;
    try {
      await this.intent.save();
    } catch (error) {
      this.state.config = before;
      throw error;
    }
    this.host.ports.keepFor(this.id, config.port);
  }

  /**
   * Runs `remove` with nothing else going on.
   * @param withLogs whether its log files go too
   * @throws InstanceActiveError
   */
  remove(remove: () => Promise<void>, withLogs: boolean): Promise<void> {
    return this.turns.take(async () => {
      await this.atRest("delete");
      await remove();
      this.turns.retire();
      this.keeper.drop();
      if (withLogs) this.log.remove();
      else this.log.close();
    });
  }

  /** One that has failed is at rest, but what it left behind may still have to be cleared away. */
  private async atRest(verb: "update" | "delete"): Promise<void> {
    if (isAtRest(this.state.current)) await this.run.over;
    if (!isAtRest(this.state.current)) throw new InstanceActiveError(verb);
  }

  /**
   * An earlier daemon had begun to start it, and may not have come to store that. One on demand stays so: what was not
   * stored was not acknowledged.
   */
  recallStart(): void {
    if (this.state.intent === "stopped") this.state.intent = "running";
  }

  /** Its process died while no daemon ran. @throws where its log cannot be read */
  async foundDead(found: FoundDead): Promise<void> {
    await this.openLog();
    const crash = judgeFoundDead(this.log, backendOf(this.config), found, this.host.policy);
    this.lifecycle.recallCrash(crash);
    this.state.note({ failure: crash.failure });
  }

  /** Its end with the daemon. @returns false where something of it outlives SIGKILL */
  async shutDown(): Promise<boolean> {
    const ended = await this.lifecycle.shutDown();
    this.keeper.close();
    this.log.close();
    return ended;
  }

  /** The end of the daemon, when its models go on. @returns false where what is to be stopped outlives SIGKILL */
  async letGo(): Promise<boolean> {
    // What is at work goes on being so.
    this.keeper.close();
    const ended = await this.lifecycle.letGo();
    this.tracker.end();
    this.log.close();
    return ended;
  }

  /** Makes what earlier daemons read of it known: lines, state and generations. */
  async openLog(): Promise<void> {
    await this.log.open();
    if (this.run.isActive) {
      // One that was taken over while its log could not be read is followed from here on.
      this.log.follow();
      return;
    }
    await this.log.finish();
    this.tracker.end();
  }

  /** The disk under its log is full now, or is not any more. @param note for its log; null: none */
  logDiskChanged(note: string | null): void {
    try {
      if (note !== null && !isAtRest(this.state.current)) this.log.note(note);
    } catch (error) {
      this.host.journal.warn(
        `${this.config.alias}: lines of its log are missing, which cannot be noted there: ${systemProblem(error)}`,
      );
    }
    this.state.touch();
  }
}
