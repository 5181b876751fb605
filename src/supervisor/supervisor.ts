import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import { systemProblem } from "../common/system-error.ts";
import type { Instance, InstanceConfig, PrunedLogs, RuntimeState } from "../contract/index.ts";
import { pruneLogs } from "../logs/leftover.ts";
import type { ConfigFile } from "../store/config-file.ts";
import { idsOf, type LoadedConfig } from "../store/load-config.ts";
import type { StoredInstance } from "../store/stored-instance.ts";
import { Adoption } from "./adoption.ts";
import { InstanceNotFoundError, NotPrunedError, NotReadyError, NotSavedError, ShuttingDownError } from "./errors.ts";
import { writeEvents } from "./event-journal.ts";
import { EventLog } from "./event-log.ts";
import { type EventListener, EventStream } from "./events.ts";
import type { Host } from "./host.ts";
import { ManagedInstance } from "./instance.ts";

const LOG_DISK_MS = 5000;

/** All instances of the daemon: which there are, what happens to them at boot and at its end. */
export class Supervisor {
  /** What happens to instances; see {@link watch} for what is there already. */
  readonly events = new EventStream();
  /** What happened to them, for a person. */
  readonly log = new EventLog(this.events);
  private readonly instances = new Map<string, ManagedInstance>();
  /** Those whose creation is being stored: not shown before it is. */
  private readonly arriving = new Set<ManagedInstance>();
  /** Those whose deletion is being stored: shown until it is, and not stored any more. */
  private readonly leaving = new Set<string>();
  private readonly store: ConfigFile;
  private readonly unreadable: ReadonlySet<string>;
  private ending = false;

  /** @param file makes the file that stores what the function it is given tells */
  constructor(
    private readonly host: Host,
    loaded: LoadedConfig,
    file: (snapshot: () => StoredInstance[]) => ConfigFile,
  ) {
    this.store = file(() => {
      const kept = this.list().filter(({ id }) => !this.leaving.has(id));
      return [...kept, ...this.arriving].map(({ state }) => state.toStore);
    });
    this.unreadable = idsOf(loaded.unreadable);
    writeEvents(this.events, host.journal);
    this.events.subscribe((event) => {
      if (event.type === "changed" && event.cause !== null) void this.saveInTime();
    });
    for (const stored of loaded.instances) this.instances.set(stored.id, this.make(stored));
  }

  /** What there is now, and `listener` for each change after it: nothing comes in between. */
  watch(listener: EventListener): { instances: Instance[]; states: RuntimeState[]; end: () => void } {
    const end = this.events.subscribe(listener);
    const instances = this.list();
    return { instances: instances.map(({ view }) => view), states: instances.map(({ tracker }) => tracker.state), end };
  }

  /** Takes over what an earlier daemon left running. To be done before anything else. */
  async adopt(): Promise<void> {
    const { host, instances, unreadable } = this;
    await new Adoption({ host, instances, unreadable, ending: () => this.ending }).run();
  }

  /** Starts what should run and does not. */
  startWanted(): void {
    const wanted = this.list().filter(({ state: { intent, current } }) => {
      return intent === "running" && current !== "starting" && current !== "running";
    });
    for (const instance of wanted.sort((a, b) => b.config.priority - a.config.priority)) this.startAtBoot(instance);
  }

  /** How that ends shows in its status. */
  private startAtBoot({ id, config, lifecycle }: ManagedInstance): void {
    lifecycle.ensureReady(0, "the boot").catch((error) => {
      if (error instanceof NotReadyError) return;
      this.host.journal.warn(`cannot start ${config.alias}: ${systemProblem(error)}`, { instance: id });
    });
  }

  /** Tells of a full disk under the logs, and of its end, for as long as the daemon runs. */
  watchLogDisk(): void {
    const timer = setInterval(() => void this.lookAtLogDisk(), LOG_DISK_MS);
    timer.unref();
  }

  private async lookAtLogDisk(): Promise<void> {
    const { logDisk, journal } = this.host;
    const change = await logDisk.look();
    if (change === null) return;
    const { isFull, since } = change;
    if (isFull) journal.warn(logDisk.problem ?? "");
    else journal.info("there is room again on the disk of the logs");
    const span = `from ${since.toISOString()} to ${new Date().toISOString()}`;
    const note = isFull ? null : `solar-host: the disk of the logs was full ${span}: lines are missing here`;
    for (const instance of this.list()) instance.logDiskChanged(note);
  }

  list(): ManagedInstance[] {
    return [...this.instances.values()];
  }

  /** @throws InstanceNotFoundError */
  get(id: string): ManagedInstance {
    const instance = this.instances.get(id);
    if (instance === undefined) throw new InstanceNotFoundError();
    return instance;
  }

  async create(config: InstanceConfig): Promise<Instance> {
    this.refuseAtEnd();
    const instance = this.make({
      id: randomUUID(),
      config,
      status: "stopped",
      desired: "stopped",
      port: null,
      pid: null,
      created_at: new Date().toISOString(),
      started_at: null,
      error_message: null,
      retry_count: 0,
      failure: null,
      restarts: 0,
      supported_endpoints: [],
    });
    this.arriving.add(instance);
    try {
      await this.store.save();
    } catch (error) {
      this.host.ports.keepFor(instance.id, null);
      throw new NotSavedError(error);
    } finally {
      this.arriving.delete(instance);
    }
    this.instances.set(instance.id, instance);
    this.events.publish({ type: "created", instance: instance.view });
    return instance.view;
  }

  /** @param withLogs whether its log files go too */
  async delete(id: string, withLogs = false): Promise<Instance> {
    const instance = this.get(id);
    await instance.remove(async () => {
      this.leaving.add(id);
      try {
        await this.store.save();
      } catch (error) {
        throw new NotSavedError(error);
      } finally {
        this.leaving.delete(id);
      }
      this.instances.delete(id);
      this.forget(id);
    }, withLogs);
    this.events.publish({ type: "removed", id, config: instance.config, withLogs });
    return instance.view;
  }

  /**
   * Removes the log files of instances that were deleted.
   * @throws NotPrunedError where the files of an instance are not known, or one cannot be removed
   */
  pruneLogs(dryRun: boolean): PrunedLogs {
    try {
      const pruned = pruneLogs(this.host.logs, this.heldLogs(), dryRun);
      const { removed, freed_bytes } = pruned;
      if (!dryRun) this.host.journal.info(`${removed.length} log files of deleted instances removed`, { freed_bytes });
      return pruned;
    } catch (error) {
      throw new NotPrunedError(error);
    }
  }

  /** Names of the log files that belong to an instance, one whose entry cannot be read included. */
  private heldLogs(): Set<string> {
    const others = this.host.segments.ids().filter((id) => !this.instances.has(id));
    const recorded = others.flatMap((id) => {
      const segments = this.host.segments.read(id);
      if (segments === null) throw new Error(`the record of the log files of ${id} is damaged`);
      return segments.map(({ file }) => basename(file));
    });
    return new Set([...recorded, ...this.list().flatMap(({ log }) => log.fileNames)]);
  }

  /**
   * Refuses new work from now on, and ends or lets go of what runs.
   * @returns false where something outlives SIGKILL: its record stays, and the next daemon goes on ending it
   */
  async shutDown(keepInstances: boolean): Promise<boolean> {
    this.ending = true;
    const ended = await Promise.all(
      this.list().map(async (instance) => {
        try {
          return await (keepInstances ? instance.letGo() : instance.shutDown());
        } catch (error) {
          // The others are ended all the same.
          this.host.journal.warn(`cannot end ${instance.config.alias}: ${systemProblem(error)}`, {
            instance: instance.id,
          });
          return false;
        }
      }),
    );
    await this.saveInTime();
    return ended.every(Boolean);
  }

  /** Ends what is being stopped without waiting for the grace time. */
  hurryShutDown(): void {
    for (const { run } of this.list()) run.hurry();
  }

  /** @throws ShuttingDownError */
  refuseAtEnd(): void {
    if (this.ending) throw new ShuttingDownError();
  }

  /** Stores what has happened; a save that fails is said, and not tried again before the next one. */
  private async saveInTime(): Promise<void> {
    await this.store
      .save()
      .catch((error) => this.host.journal.warn(`cannot save the configuration: ${systemProblem(error)}`));
  }

  /** What was recorded of an instance that is gone; records that stay belong to no instance, and do no harm. */
  private forget(id: string): void {
    try {
      this.host.ports.keepFor(id, null);
      this.host.segments.remove(id);
      this.host.states.remove(id);
      this.host.launches.remove(id);
    } catch (error) {
      this.host.journal.warn(`cannot remove the records of ${id}: ${systemProblem(error)}`);
    }
  }

  private make(stored: StoredInstance): ManagedInstance {
    const { host, events } = this;
    return new ManagedInstance({ host, events, save: () => this.store.save() }, stored);
  }
}
