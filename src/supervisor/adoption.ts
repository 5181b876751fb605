import { backendOf } from "../backends/index.ts";
import { systemProblem } from "../common/system-error.ts";
import { findProcess } from "../model-server/find-process.ts";
import type { LaunchedProcess } from "../model-server/launch.ts";
import type { LaunchRecord } from "../model-server/launch-record.ts";
import { ModelServer } from "../model-server/model-server.ts";
import { killAll, killStragglers, strangersTo, targetOf, terminate } from "../model-server/termination.ts";
import { environmentValue } from "../process/group.ts";
import { bootId, isSameLater } from "../process/identity.ts";
import { FOLDER_MARK } from "../process/spawn.ts";
import { type AdoptionFacts, decideAdoption, isOurs, tellsOfStart } from "./adoption-decision.ts";
import type { Host } from "./host.ts";
import type { ManagedInstance } from "./instance.ts";

const LOG_AGAIN_MS = 1000;

export interface AdoptedBy {
  readonly host: Host;
  readonly instances: ReadonlyMap<string, ManagedInstance>;
  /** Ids of entries of the configuration that could not be understood. */
  readonly unreadable: ReadonlySet<string>;
  /** Whether the daemon ends, so that no grace time is waited for. */
  readonly ending: () => boolean;
}

/** Takes over what an earlier daemon of this folder left running. */
export class Adoption {
  constructor(private readonly by: AdoptedBy) {}

  /** @throws where a daemon that lives owns processes of this folder */
  async run(): Promise<void> {
    await this.refuseOwned();
    await Promise.all(this.launches.ids().map((id) => this.adoptOne(id)));
    if (this.by.instances.size > 0) await this.endUnknown();
  }

  private get launches(): Host["launches"] {
    return this.by.host.launches;
  }

  private warn(message: string, id?: string): void {
    this.by.host.journal.warn(message, id === undefined ? undefined : { instance: id });
  }

  /** The lock lets no second daemon in; where it has failed to, nothing is touched. */
  private async refuseOwned(): Promise<void> {
    const refuse = async (id: string): Promise<void> => {
      const { folder, owner } = this.launches.read(id) ?? {};
      if (folder === this.by.host.folder.id && owner !== undefined && (await isSameLater(owner))) {
        throw new Error(`another solar-host (pid ${owner.pid}) owns processes of this directory: end that one first`);
      }
    };
    await Promise.all(this.launches.ids().map(refuse));
  }

  private async adoptOne(id: string): Promise<void> {
    const record = this.launches.read(id);
    const found = record === null ? null : await findProcess(record);
    const instance = this.by.instances.get(id);
    const isAlive = found !== null;
    const ours = record !== null && (await this.isOurs(record, found));
    // Before the decision: where the record is newer than the configuration, it says what should be.
    if (record !== null && ours && isAlive && tellsOfStart(record)) instance?.recallStart();
    const entry = this.entryOf(id, instance);
    const outcome = decideAdoption({ record, isAlive, isOurs: ours, entry, bootId: bootId() });
    switch (outcome) {
      case "adopt":
        if (instance !== undefined && found !== null) await this.adopt(instance, found);
        return;
      case "end":
        if (found !== null) await this.endOrphan(id, found);
        return;
      case "leave-alone":
        if (record !== null && entry !== "unreadable") await this.leaveAlone(id, record, found, instance);
        return;
      case "crashed":
      case "clear-away":
        return this.clearAway(id, record, outcome === "crashed" ? instance : undefined);
    }
  }

  private entryOf(id: string, instance: ManagedInstance | undefined): AdoptionFacts["entry"] {
    if (instance === undefined) return this.by.unreadable.has(id) ? "unreadable" : "none";
    return instance.state.intent === "running" ? "should-run" : "should-not-run";
  }

  private async isOurs(record: LaunchRecord, found: LaunchedProcess | null): Promise<boolean> {
    const mark = found === null ? null : await environmentValue(found.pid, FOLDER_MARK);
    return isOurs(record, this.by.host.folder, mark);
  }

  private async adopt(instance: ManagedInstance, found: LaunchedProcess): Promise<void> {
    const { host } = this.by;
    this.own(instance.id, found);
    try {
      await instance.log.open();
      instance.log.follow();
    } catch (error) {
      // It serves all the same, and whether it is watched must not depend on what can be read of its past.
      this.warnOfLog(instance, error);
      this.followLater(instance);
    }
    const { id, config } = instance;
    instance.run.adopt(ModelServer.adopt(host, { id, backend: backendOf(config), config }, found));
  }

  /** It is neither taken over nor ended; what should run is started beside it. */
  private async leaveAlone(
    id: string,
    record: LaunchRecord,
    found: LaunchedProcess | null,
    of?: ManagedInstance,
  ): Promise<void> {
    if (found !== null) {
      const { owner } = record;
      const daemon =
        owner !== undefined && (await isSameLater(owner))
          ? `the daemon with pid ${owner.pid}`
          : "another folder's daemon";
      this.warn(`${of?.config.alias ?? id}: process ${found.pid} belongs to ${daemon}, and is left alone`, id);
    }
    this.launches.remove(id);
  }

  /** Of a process that has gone. @param crashed the instance whose crash that is */
  private async clearAway(id: string, record: LaunchRecord | null, crashed?: ManagedInstance): Promise<void> {
    if (record !== null && !(await killStragglers(record.mark))) {
      this.warn(
        `processes that process ${record.process?.pid ?? "unknown"} left behind are still there after SIGKILL`,
        id,
      );
    }
    if (record !== null) await crashed?.foundDead(record).catch((error) => this.warnOfLog(crashed, error));
    this.launches.remove(id);
  }

  /** From now on it is this daemon's. */
  private own(id: string, found: LaunchedProcess): void {
    const { folder, self } = this.by.host;
    found.record = { ...found.record, folder: folder.id, owner: self };
    try {
      this.launches.write(id, found.record);
    } catch (error) {
      this.warn(`cannot record that process ${found.pid} was taken over: ${systemProblem(error)}`, id);
    }
  }

  /** The log of one that was taken over is tried until it can be read, or there is nothing to follow any more. */
  private followLater(instance: ManagedInstance): void {
    const again = (): void => {
      instance.openLog().catch(() => setTimeout(again, LOG_AGAIN_MS).unref());
    };
    setTimeout(again, LOG_AGAIN_MS).unref();
  }

  private warnOfLog({ id, config }: ManagedInstance, error: unknown): void {
    this.warn(`cannot read the log of ${config.alias}: ${systemProblem(error)}`, id);
  }

  /** What this folder's daemons started and no record tells of: the record was damaged, or removed. */
  private async endUnknown(): Promise<void> {
    const { folder } = this.by.host;
    // Looked up each time: one that is taken over may be started again meanwhile.
    const find = (mark: string): Promise<number[]> => {
      const marks = this.launches.ids().flatMap((id) => this.launches.read(id)?.mark ?? []);
      return strangersTo(marks, mark);
    };
    const unknown = await find(folder.id);
    if (unknown.length > 0) {
      const pids = unknown.join(", ");
      this.warn(`processes ${pids} were started from here and no record tells of them; they are ended`);
      if (!(await killAll(() => find(folder.id)))) {
        this.warn(`processes ${(await find(folder.id)).join(", ")} are still there after SIGKILL`);
      }
    }
    // The mark of older versions was a path, which another container's folder may bear too.
    const doubtful = await find(folder.path);
    if (doubtful.length > 0) {
      const pids = doubtful.join(", ");
      this.warn(
        `processes ${pids} were started by an older solar-host in a folder with this path, and no record here tells of ` +
          "them; they may be another daemon's and are left alone. Where they are not, end them with kill",
      );
    }
  }

  /** A process of an instance that is no longer in the configuration. */
  private async endOrphan(id: string, found: LaunchedProcess): Promise<void> {
    this.warn(`process ${found.pid} belongs to an instance that is gone; it is ended`, id);
    const stuck = Promise.withResolvers<void>();
    const onStuck = (message: string, outlived: boolean): void => {
      this.warn(message, id);
      if (outlived) stuck.resolve();
    };
    const gone = terminate(targetOf(found), this.by.host.stopTimeout, this.by.ending, onStuck)
      .then(() => this.launches.remove(id))
      .catch((error: unknown) => this.warn(`cannot end process ${found.pid}: ${systemProblem(error)}`));
    // One that outlives SIGKILL keeps its record, and does not keep the daemon from booting.
    await Promise.race([gone, stuck.promise]);
  }
}
