import { randomUUID } from "node:crypto";
import { closeSync } from "node:fs";
import type { Backend, Launch } from "../backends/index.ts";
import { errorCode, refusal, systemProblem } from "../common/system-error.ts";
import type { InstanceConfig } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { spawnProblem } from "../process/executable.ts";
import { identify } from "../process/identity.ts";
import { oomKills } from "../process/oom-kills.ts";
import { type Child, type ChildExit, spawnDetached } from "../process/spawn.ts";
import type { LaunchRecord } from "./launch-record.ts";
import { prepareLaunch, UnstartableError } from "./prepare-launch.ts";
import type { LaunchServices } from "./services.ts";

/** A process of an instance: started by this daemon, or found as an earlier one had left it. */
export interface LaunchedProcess {
  /** Also the id of its process group. */
  pid: number;
  record: LaunchRecord;
  /** Whether this daemon started it, and is told of its end at once. */
  isChild: boolean;
  /** Of the machine, when it was started; null where that is not known. */
  oomKills: number | null;
  /** Null where the exit code went to an earlier daemon. */
  exited: Promise<ChildExit | null>;
}

export interface LaunchOrder {
  /** Of the instance. */
  id: string;
  backend: Backend;
  config: InstanceConfig;
  port: number;
  log: InstanceLog;
  counts: Pick<LaunchRecord, "crashes" | "retry_count">;
}

/** @throws in words: UnstartableError, another error where the system had no room for a process now and may have later */
const spawnOrSay = (path: string, { programName, remedy }: Launch, spawn: () => Child): Child => {
  try {
    return spawn();
  } catch (error) {
    const problem = spawnProblem(path, errorCode(error));
    if (problem === null) throw error;
    if (problem.lasting) throw new UnstartableError(`${programName} cannot run: ${problem.text}; ${remedy}`);
    throw refusal(`${programName} could not be started: ${problem.text}`, errorCode(error));
  }
};

/**
 * Starts the model server. It is recorded before it is spawned and again with its identity, so that
 * a daemon that dies at any moment leaves no process that the next one does not know.
 * @throws UnstartableError where another attempt would be in vain
 */
export const launchProcess = async (
  services: LaunchServices,
  { id, backend, config, port, log, counts }: LaunchOrder,
): Promise<LaunchedProcess> => {
  try {
    services.checkPlace();
  } catch (error) {
    // Its records and its log would be another daemon's.
    throw new UnstartableError(systemProblem(error));
  }
  const { launch, program } = await prepareLaunch(services, backend, config, port);
  const file = await log.begin(config.alias);
  const record: LaunchRecord = {
    mark: randomUUID(),
    folder: services.folder.id,
    owner: services.self,
    port,
    host: config.host,
    log_file: file.path,
    first_seq: log.nextSeq,
    command: [program, ...launch.argv.slice(1)],
    started_at: new Date().toISOString(),
    status: "starting",
    process: null,
    ...counts,
  };
  const killsBefore = oomKills();
  try {
    services.launches.write(id, record);
    const inherited = Object.fromEntries(Object.entries(services.env).filter(([name]) => !backend.isWithheld(name)));
    const marks = { launch: record.mark, folder: services.folder.id };
    const child = spawnOrSay(program, launch, () =>
      spawnDetached(record.command, inherited, launch.env, marks, file.fd),
    );
    record.process = identify(child.pid);
    try {
      services.launches.write(id, record);
    } catch (error) {
      // It runs now, and is found by its mark as well.
      services.journal.warn(`cannot record process ${child.pid}: ${systemProblem(error)}`, { instance: id });
    }
    return { pid: child.pid, record, isChild: true, oomKills: killsBefore, exited: child.exited };
  } finally {
    closeSync(file.fd);
  }
};
