import { fstatSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { addressOf } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import { launchWarnings } from "../model-server/launch-warnings.ts";
import { removeRests, targetOf } from "../store/atomic-file.ts";
import { CONFIG_MODE, ConfigFile } from "../store/config-file.ts";
import { KeyFile } from "../store/key-file.ts";
import { loadConfig } from "../store/load-config.ts";
import { whyNotSavable } from "../store/savable.ts";
import { readEnvFile, resolveSettings, type Settings, SettingsError } from "../store/settings.ts";
import { Supervisor } from "../supervisor/supervisor.ts";
import { version } from "../version.ts";
import { givenKey, makeKey, weaknessOf } from "./api-key.ts";
import {
  askedFormat,
  BootError,
  checkConfigFolder,
  checkLogFolder,
  type DaemonFlags,
  folderProblems,
  lock,
  samePlace,
} from "./boot.ts";
import { bootMessages } from "./boot-messages.ts";
import { createDaemonLog, isJournalStream, wantsColor } from "./daemon-log.ts";
import { leaveFolderRecord, leaveRecord } from "./daemon-record.ts";
import { hearSignals, untilAskedToEnd } from "./end-signals.ts";
import { type EnvFile, enterFolder, judgeEnvFile, refuseForeign, settleEnvFile } from "./env-file.ts";
import { guardFolder } from "./folder-guard.ts";
import { createHost } from "./host.ts";
import { KeyRing } from "./key-ring.ts";
import { FAULT_EXIT, firstFault, letGoAfterFault } from "./last-resort.ts";
import { listen } from "./listen.ts";

/** Puts the daemon together: settings, store, adoption, listening, starting; and takes it apart at the end. */

/** Bun collects the exit of its own children alone, and not of those that their parents left behind. */
const NO_INIT =
  "this is process 1 of its container: what a model server leaves behind stays there as a zombie when it ends. " +
  "Run it under an init: docker run --init, or tini";

const print = (text: string): void => void process.stderr.write(text);

/** The checks that change nothing: the folder may be another program's. */
const lookFirst = (settings: Settings, flags: DaemonFlags, envFile: EnvFile): string | null => {
  const key = givenKey(settings, flags);
  checkConfigFolder(settings);
  loadConfig(resolve(settings.CONFIG_FILE));
  if (key === null) refuseForeign(envFile);
  return key;
};

/** Runs until a signal ends it; gives the exit code. */
const serve = async (flags: DaemonFlags): Promise<number> => {
  const envPath = resolve(".env");
  const ignored: string[] = [];
  const envValues = readEnvFile(envPath, process.env, (problem) => ignored.push(problem));
  const settings = resolveSettings(flags.settings, process.env, envValues);
  const journal = createDaemonLog({
    format: settings.LOG_FORMAT,
    level: settings.LOG_LEVEL,
    color: wantsColor(process.stderr, process.env),
    underJournal: isJournalStream(fstatSync(process.stderr.fd), process.env),
    write: print,
  });
  for (const problem of ignored) journal.warn(problem);
  const fault = firstFault(journal);
  const configPath = resolve(settings.CONFIG_FILE);
  const envFile = judgeEnvFile(envPath, envValues, configPath);
  const given = lookFirst(settings, flags, envFile);
  checkLogFolder(settings);
  // As it is now: a link that is changed later would lead to a file that is not locked.
  const target = targetOf(configPath);
  const stateDir = join(dirname(configPath), ".solar-host");
  // Held until this process has gone: the next daemon must not meet processes whose owner still lives.
  lock(stateDir, target);
  for (const said of settleEnvFile(envFile)) journal.warn(said);
  const key = given ?? makeKey(envPath);
  if (given === null) bootMessages(settings.LOG_FORMAT, process.stderr).madeKey(envPath, key);
  const weakness = weaknessOf(key);
  if (weakness !== null) journal.warn(weakness);
  removeRests(configPath);
  const checkPlace = samePlace(dirname(target));
  // Again, since the daemon that had the lock may have saved meanwhile.
  const loaded = loadConfig(configPath);
  for (const problem of loaded.problems) journal.warn(problem);

  const host = createHost(settings, stateDir, journal, samePlace(dirname(stateDir)));
  for (const warning of launchWarnings(host)) journal.warn(warning);
  if (process.pid === 1) journal.warn(NO_INIT);
  const unsavable = await whyNotSavable(target, CONFIG_MODE);
  if (unsavable !== null) {
    journal.error(`cannot save the configuration: ${unsavable}. What runs goes on, and every change will be refused`);
  }
  for (const problem of folderProblems(stateDir, host.logs)) journal.error(problem);
  const supervisor = new Supervisor(
    host,
    loaded,
    (snapshot) =>
      new ConfigFile(target, loaded, () => {
        checkPlace();
        return snapshot();
      }),
  );
  const keys = new KeyRing(new KeyFile(join(stateDir, "keys.json")), (problem) => journal.warn(problem));
  const signals = hearSignals();
  await supervisor.adopt();
  const { server, hub } = await orLetGo(supervisor, () => listen(settings, key, keys, supervisor, journal));
  const port = server.port ?? settings.PORT;
  host.ports.keepOwn(port);
  const removeRecord = leaveRecord({ host: settings.HOST, port, directory: dirname(configPath), key }, (problem) =>
    journal.warn(problem),
  );
  const warn = (problem: string): void => journal.warn(problem);
  const leaveAgain = (): void => leaveFolderRecord(stateDir, { host: settings.HOST, port }, envPath, warn);
  leaveAgain();
  guardFolder({
    stateDir,
    identity: { ...host.folder, boot_id: host.self.bootId },
    checkPlace: host.checkPlace,
    leaveAgain,
    warn,
  });
  journal.info(`solar-host ${version} listens on http://${addressOf(settings.HOST, port)} (docs at /docs)`);
  supervisor.watchLogDisk();
  supervisor.startWanted();

  const asked = untilAskedToEnd(signals, supervisor, journal, settings.KEEP_INSTANCES);
  const ended = await Promise.race([asked, fault]);
  if (ended === "fault") await letGoAfterFault(supervisor, journal);
  hub.closeAll();
  await untilAnswered(server);
  await server.stop(true);
  removeRecord();
  if (ended === "fault") return FAULT_EXIT;
  if (ended) journal.info("ended");
  else journal.error("ended, though processes are left that SIGKILL does not end; the next daemon goes on ending them");
  return ended ? 0 : 1;
};

/** How long a request is waited for that does not end by itself: one whose body never comes, say. */
const LAST_ANSWERS_MS = 500;

/** Those that waited for an instance are told what overtook them. */
const untilAnswered = async (server: { readonly pendingRequests: number }): Promise<void> => {
  const until = performance.now() + LAST_ANSWERS_MS;
  while (server.pendingRequests > 0 && performance.now() < until) await Bun.sleep(1);
};

/** What was adopted goes on when the boot fails later. */
const orLetGo = async <T>(supervisor: Supervisor, step: () => Promise<T>): Promise<T> => {
  try {
    return await step();
  } catch (error) {
    await supervisor.shutDown(true);
    throw error;
  }
};

const exitCodeOf = (error: unknown): number =>
  error instanceof BootError ? error.exitCode : error instanceof SettingsError ? 2 : 1;

/** The command `serve`. */
export const runDaemon = async (flags: DaemonFlags): Promise<number> => {
  // A reader of our stderr that went away is no reason to end.
  process.stderr.on("error", () => undefined);
  try {
    if (flags.dir !== null) enterFolder(flags.dir);
    return await serve(flags);
  } catch (error) {
    bootMessages(askedFormat(flags), process.stderr).failed(systemProblem(error));
    return exitCodeOf(error);
  }
};
