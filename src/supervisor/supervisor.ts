import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import type { Instance, InstanceConfig, PrunedLogs } from "../contract/index.ts";
import { pruneLogs } from "../logs/leftover.ts";
import { bootId } from "../process/identity.ts";
import { type ConfigFile, idsOf, type LoadedConfig, type StoredInstance } from "../store/config-file.ts";
import { InstanceNotFoundError, NotPrunedError, NotSavedError, ShuttingDownError } from "./errors.ts";
import type { Host, LaunchRecord } from "./host.ts";
import { type InstanceOwner, ManagedInstance } from "./instance.ts";
import { findProcess, type ServerProcess } from "./server-process.ts";
import { killAll, killStragglers, strangersTo, targetOf, terminate } from "./termination.ts";

const LOG_AGAIN_MS = 1000;
const LOG_DISK_MS = 5000;

/** All instances of the daemon: which there are, what happens to them at boot and at its end. */
export class Supervisor implements InstanceOwner {
  private readonly instances = new Map<string, ManagedInstance>();
  /** Those whose deletion is being stored: shown until it is, and not stored any more. */
  private readonly leaving = new Set<string>();
  private listing: string | null = null;
  private ending = false;
  /** Told of each instance that was deleted. */
  onRemoved: (id: string) => void = () => undefined;

  /** @param file makes the file that stores what {@link stored} gives */
  constructor(
    private readonly host: Host,
    loaded: LoadedConfig,
    private readonly file: (snapshot: () => StoredInstance[]) => ConfigFile,
  ) {
    for (const stored of loaded.instances) this.add(stored);
    this.unreadable = idsOf(loaded.unreadable);
    this.store = this.file(() => this.list().flatMap(({ id, stored }) => (this.leaving.has(id) ? [] : [stored])));
  }

  private readonly store: ConfigFile;
  private readonly unreadable: ReadonlySet<string>;

  /** Takes over what an earlier daemon left running. To be done before anything else. */
  async adopt(): Promise<void> {
    await Promise.all(this.host.launches.ids().map((id) => this.adoptOne(id)));
    if (this.instances.size > 0) await this.endUnknown();
  }

  /** Starts what should run and does not. */
  startWanted(): void {
    const wanted = this.list().filter(
      ({ shouldRun, currentStatus }) => shouldRun && currentStatus !== "starting" && currentStatus !== "running",
    );
    for (const instance of wanted.sort((a, b) => b.config.priority - a.config.priority)) instance.startAtBoot();
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

  /** The whole list as JSON text, made once for each change. */
  get listJson(): string {
    this.listing ??= `[${this.list()
      .map((instance) => instance.viewJson)
      .join(",")}]`;
    return this.listing;
  }

  /** @throws InstanceNotFoundError */
  get(id: string): ManagedInstance {
    const instance = this.instances.get(id);
    if (instance === undefined) throw new InstanceNotFoundError();
    return instance;
  }

  async create(config: InstanceConfig): Promise<Instance> {
    this.refuseAtEnd();
    const instance = this.add({
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
    try {
      await this.store.save();
    } catch (error) {
      this.instances.delete(instance.id);
      this.host.ports.keepFor(instance.id, null);
      this.listing = null;
      throw new NotSavedError(error);
    }
    this.host.journal.info(`${config.alias}: created`, { instance: instance.id });
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
      this.listing = null;
      this.forget(id);
    }, withLogs);
    this.onRemoved(id);
    const { alias } = instance.config;
    const logs = withLogs ? ", with its logs" : "";
    this.host.journal.info(`${alias}: deleted${logs}`, { instance: id });
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
          this.host.journal.warn(`cannot end ${instance.config.alias}: ${String(error)}`, { instance: instance.id });
          return false;
        }
      }),
    );
    await this.store.save().catch((error) => this.host.journal.warn(`cannot save the configuration: ${String(error)}`));
    return ended.every(Boolean);
  }

  /** Ends what is being stopped without waiting for the grace time. */
  hurryShutDown(): void {
    for (const instance of this.list()) instance.hurry();
  }

  /** @throws ShuttingDownError */
  refuseAtEnd(): void {
    if (this.ending) throw new ShuttingDownError();
  }

  save(): Promise<void> {
    return this.store.save();
  }

  changed(): void {
    this.listing = null;
  }

  /** What was recorded of an instance that is gone; records that stay are of nobody, and do no harm. */
  private forget(id: string): void {
    try {
      this.host.ports.keepFor(id, null);
      this.host.segments.remove(id);
      this.host.states.remove(id);
      this.host.launches.remove(id);
    } catch (error) {
      this.host.journal.warn(`cannot remove the records of ${id}: ${String(error)}`);
    }
  }

  private add(stored: StoredInstance): ManagedInstance {
    const instance = new ManagedInstance(this.host, this, stored);
    this.instances.set(instance.id, instance);
    this.listing = null;
    return instance;
  }

  private async adoptOne(id: string): Promise<void> {
    const record = this.host.launches.read(id);
    const server = record === null ? null : findProcess(record);
    const instance = this.instances.get(id);
    // An entry that somebody has to mend: what it says may be what runs.
    if (instance === undefined && this.unreadable.has(id)) return;
    if (record !== null && isWorthRecalling(record, server)) instance?.recall(record);
    if (server === null) {
      if (record !== null) await killStragglers(record.mark);
      if (record?.status === "running" && record.process?.bootId === bootId() && instance?.shouldRun === true) {
        await instance.foundDead(record).catch((error) => this.warnOfLog(instance, error));
      }
      this.host.launches.remove(id);
      return;
    }
    if (instance === undefined) return this.endOrphan(id, server);
    try {
      await instance.log.open();
      instance.log.follow();
    } catch (error) {
      // It serves all the same, and whether it is watched must not depend on what can be read of its past.
      this.warnOfLog(instance, error);
      this.followLater(instance);
    }
    instance.adopt(server);
  }

  /** The log of one that was taken over is tried until it can be read, or there is nothing to follow any more. */
  private followLater(instance: ManagedInstance): void {
    const again = (): void => {
      instance.openLog().catch(() => setTimeout(again, LOG_AGAIN_MS).unref());
    };
    setTimeout(again, LOG_AGAIN_MS).unref();
  }

  private warnOfLog({ id, config }: ManagedInstance, error: unknown): void {
    this.host.journal.warn(`cannot read the log of ${config.alias}: ${String(error)}`, { instance: id });
  }

  /** What this folder's daemons started and no record tells of: the record was damaged, or removed. */
  private async endUnknown(): Promise<void> {
    // Looked up each time: one that is taken over may be started again meanwhile.
    const find = (): number[] => {
      const marks = this.host.launches.ids().flatMap((id) => this.host.launches.read(id)?.mark ?? []);
      return strangersTo(marks, this.host.folder);
    };
    const unknown = find();
    if (unknown.length === 0) return;
    const pids = unknown.join(", ");
    this.host.journal.warn(`processes ${pids} were started from here and no record tells of them; they are ended`);
    await killAll(find);
  }

  /** A process of an instance that is no longer in the configuration. */
  private async endOrphan(id: string, server: ServerProcess): Promise<void> {
    this.host.journal.warn(`process ${server.pid} belongs to an instance that is gone; it is ended`, { instance: id });
    const stuck = Promise.withResolvers<void>();
    const onStuck = (message: string, outlived: boolean): void => {
      this.host.journal.warn(message, { instance: id });
      if (outlived) stuck.resolve();
    };
    const gone = terminate(targetOf(server), this.host.stopTimeout, () => this.ending, onStuck)
      .then(() => this.host.launches.remove(id))
      .catch((error: unknown) => this.host.journal.warn(`cannot end process ${server.pid}: ${String(error)}`));
    // One that outlives SIGKILL keeps its record, and does not keep the daemon from booting.
    await Promise.race([gone, stuck.promise]);
  }
}

/**
 * Whether a record tells more of what should be than the configuration does. Where the process is gone, only a stop
 * that was begun does: a start is stored before it is answered. After a reboot nothing does.
 */
const isWorthRecalling = (record: LaunchRecord, server: ServerProcess | null): boolean =>
  server !== null || (record.status === "stopping" && record.process?.bootId === bootId());
