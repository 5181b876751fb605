import { randomUUID } from "node:crypto";
import { accessSync, closeSync, constants } from "node:fs";
import { resolve } from "node:path";
import type { Backend, Launch, RequiredFile } from "../backends/index.ts";
import type { InstanceConfig } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { findProgram, spawnProblem } from "../process/executable.ts";
import { groupMembers, processesWithEnv } from "../process/group.ts";
import { identify, isSame, isVisible, type ProcessIdentity } from "../process/identity.ts";
import { oomKills } from "../process/oom-kills.ts";
import { pathProblem } from "../process/path-problem.ts";
import { errorCode } from "../process/proc.ts";
import { type Child, type ChildExit, LAUNCH_MARK, spawnDetached } from "../process/spawn.ts";
import { expandHome } from "../store/home.ts";
import type { Host, LaunchRecord } from "./host.ts";

/** The process of an instance: started by this daemon, or found as an earlier one had left it. */

/** An adopted process is no child of ours, so its end is looked for. */
const ADOPTED_POLL_MS = 250;

export interface ServerProcess {
  /** Also the id of its process group. */
  pid: number;
  port: number;
  record: LaunchRecord;
  /** Of the machine, when it was started; null where that is not known. */
  oomKills: number | null;
  /** Null where the exit code went to an earlier daemon. */
  exited: Promise<ChildExit | null>;
}

/** Starting it again would fail in the same way: what it needs is not there. */
export class UnstartableError extends Error {}

const checkFile = ({ field, path }: RequiredFile): void => {
  const absolute = resolve(path);
  const problem = pathProblem(absolute);
  if (problem !== null) throw new UnstartableError(`${field}: ${problem.text}`);
  try {
    accessSync(absolute, constants.R_OK);
  } catch {
    throw new UnstartableError(`${field}: may not be read: '${absolute}'`);
  }
};

/** The system had no room for a process now: it may have later. */
class SpawnError extends Error {
  constructor(
    message: string,
    readonly code: string | undefined,
  ) {
    super(message);
  }
}

const locate = ({ argv, programName, remedy }: Launch, env: Host["env"]): string => {
  const found = findProgram(argv[0] ?? "", env);
  if ("path" in found) return found.path;
  const { missing, text } = found.problem;
  throw new UnstartableError(`${programName} ${missing ? "not found" : "cannot run"}: ${text}; ${remedy}`);
};

/** @throws UnstartableError, SpawnError in words for a person */
const spawnOrSay = (path: string, { programName, remedy }: Launch, spawn: () => Child): Child => {
  try {
    return spawn();
  } catch (error) {
    const problem = spawnProblem(path, errorCode(error));
    if (problem === null) throw error;
    if (problem.lasting) throw new UnstartableError(`${programName} cannot run: ${problem.text}; ${remedy}`);
    throw new SpawnError(`${programName} could not be started: ${problem.text}`, errorCode(error));
  }
};

const PATH_FIELDS = ["model", "chat_template_file", "model_id"];

/** `~/` in the name of a file is the home folder of the daemon's user. */
const withHome = (config: InstanceConfig, env: Host["env"]): InstanceConfig => {
  const named = Object.entries(config).filter(([name]) => PATH_FIELDS.includes(name));
  const paths = named.flatMap(([name, value]) => (typeof value === "string" ? [[name, expandHome(value, env)]] : []));
  return { ...config, ...Object.fromEntries(paths) };
};

/** Names of files are relative to the daemon's folder, and never look like a flag. */
const withAbsolutePaths = (backend: Backend, config: InstanceConfig): InstanceConfig => {
  const paths = backend.requiredFiles(config).map(({ field, path }) => [field, resolve(path)]);
  return { ...config, ...Object.fromEntries(paths) };
};

/**
 * How a config would be run, as far as that can be seen before.
 * @throws UnstartableError where it cannot
 */
export const prepareLaunch = async (
  host: Host,
  backend: Backend,
  given: InstanceConfig,
  port: number,
): Promise<{ launch: Launch; program: string }> => {
  const config = withHome(given, host.env);
  const obstacle = backend.obstacle(config);
  if (obstacle !== null) throw new UnstartableError(obstacle);
  for (const file of backend.requiredFiles(config)) checkFile(file);
  const launch = backend.launch(withAbsolutePaths(backend, config), {
    port,
    llamaServer: host.llamaServer,
    python: host.python,
    env: host.env,
    stopTimeout: host.stopTimeout,
    pyserverDir: backend.type === "llamacpp" ? null : await host.pyserverDir(),
  });
  return { launch, program: locate(launch, host.env) };
};

/**
 * Starts the model server. It is recorded before it is spawned and again with its identity, so that
 * a daemon that dies at any moment leaves no process that the next one does not know.
 * @throws UnstartableError where another attempt would be in vain
 */
export const startProcess = async (
  host: Host,
  id: string,
  backend: Backend,
  config: InstanceConfig,
  port: number,
  log: InstanceLog,
  counts: { crashes: number; retry_count: number },
): Promise<ServerProcess> => {
  try {
    host.checkPlace();
  } catch (error) {
    // Its records and its log would be another daemon's.
    throw new UnstartableError((error as Error).message);
  }
  const { launch, program } = await prepareLaunch(host, backend, config, port);
  const file = await log.begin(config.alias);
  const record: LaunchRecord = {
    mark: randomUUID(),
    folder: host.folder.id,
    owner: host.self,
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
    host.launches.write(id, record);
    const inherited = Object.fromEntries(Object.entries(host.env).filter(([name]) => !backend.isWithheld(name)));
    const marks = { launch: record.mark, folder: host.folder.id };
    const child = spawnOrSay(program, launch, () =>
      spawnDetached(record.command, inherited, launch.env, marks, file.fd),
    );
    record.process = identify(child.pid);
    try {
      host.launches.write(id, record);
    } catch (error) {
      // It runs now, and is found by its mark as well.
      host.journal.warn(`cannot record process ${child.pid}: ${String(error)}`, { instance: id });
    }
    return { pid: child.pid, port, record, oomKills: killsBefore, exited: child.exited };
  } finally {
    closeSync(file.fd);
  }
};

const findByMark = (record: LaunchRecord): ProcessIdentity | null => {
  // Only what leads its group: where that is gone, what is left of it serves nobody.
  const pid = processesWithEnv(LAUNCH_MARK, record.mark).find((pid) => groupMembers(pid).includes(pid));
  return pid === undefined ? null : identify(pid);
};

/** A system that does not tell now has not told that it is gone. */
export const mayRun = (identity: ProcessIdentity): boolean => {
  try {
    return isSame(identity);
  } catch {
    return true;
  }
};

const endOf = (identity: ProcessIdentity): Promise<null> =>
  new Promise((done) => {
    const timer = setInterval(() => {
      if (mayRun(identity)) return;
      clearInterval(timer);
      done(null);
    }, ADOPTED_POLL_MS);
    // Looking on is no reason for the daemon to stay.
    timer.unref();
  });

/** The process of a record, where it is still that very process; null where it is gone. */
export const findProcess = (record: LaunchRecord): ServerProcess | null => {
  // A daemon that died between spawn and record left a process with no identity. One of a container that has ended, or
  // that is seen from outside, recorded a number that means nothing here.
  const identity = record.process !== null && isVisible(record.process) ? record.process : findByMark(record);
  if (identity === null || !isSame(identity)) return null;
  return {
    pid: identity.pid,
    port: record.port,
    record: { ...record, process: identity },
    oomKills: null,
    exited: endOf(identity),
  };
};
