import { accessSync, constants, mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { areSegments } from "../logs/segment.ts";
import { LockedError, takeLock } from "../process/lock.ts";
import { PortRegistry } from "../process/ports.ts";
import { punchHead } from "../process/punch.ts";
import { releaseBootCode } from "../process/trim.ts";
import { removeRests } from "../store/atomic-file.ts";
import { ConfigFile, ConfigFileError, loadConfig } from "../store/config-file.ts";
import { unpackPyserver } from "../store/pyserver-package.ts";
import { RecordFolder } from "../store/records.ts";
import { readEnvFile, resolveSettings, type Settings, SettingsError, writeFirstKey } from "../store/settings.ts";
import { type Host, isLaunchRecord } from "../supervisor/host.ts";
import { defaultPolicy } from "../supervisor/restart-policy.ts";
import { StartGate } from "../supervisor/start-gate.ts";
import { Supervisor } from "../supervisor/supervisor.ts";
import { createMemoryReader } from "../system/memory.ts";
import { version } from "../version.ts";
import { createKeyCheck } from "./auth.ts";
import { leaveRecord } from "./daemon-record.ts";
import { createFront } from "./front.ts";
import { createJournal, type DaemonJournal, wantsColor } from "./journal.ts";
import { lazyRoutes } from "./lazy-routes.ts";
import { requestedSocket, type SocketData, SocketHub } from "./websockets.ts";

/** Puts the daemon together: settings, store, adoption, listening, starting; and takes it apart at the end. */

/** A start that cannot go on; `message` is one line for a person. */
class BootError extends Error {
  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
  ) {
    super(message);
  }
}

export interface DaemonFlags {
  /** By name of the setting, as given on the command line. */
  settings: Record<string, string>;
  apiKeyFile: string | null;
}

const MIB = 1024 * 1024;
/** When the boot's own code is let go of. */
const BOOT_OVER_MS = 5000;
/** Longer than any request waits by itself; those that wait for a model set their own. */
const IDLE_SECONDS = 60;

/** Starts and stops wait as long as they need to; whoever sends a body does not. */
const WAITING = /\/(?:start|stop|restart)(?:\?|$)/;

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

const print = (text: string): void => void process.stderr.write(text);

const readKeyFile = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new BootError(`--api-key-file: cannot read '${path}': ${(error as Error).message}`, 2);
  }
};

/** The key in force; makes one on the first run. */
const obtainKey = (settings: Settings, flags: DaemonFlags, envPath: string): string => {
  const key = flags.apiKeyFile === null ? settings.API_KEY : readKeyFile(flags.apiKeyFile);
  if (key === null) {
    const made = writeFirstKey(envPath);
    print(`No API_KEY was set, so one was made and written to ${envPath}:\n\n    ${made}\n\nSend it as X-API-Key.\n\n`);
    return made;
  }
  if (key === "" && !isLoopback(settings.HOST)) {
    throw new BootError(
      `API_KEY is empty, which means no authentication; that is refused on HOST=${settings.HOST}. Set a key, or HOST=127.0.0.1.`,
      2,
    );
  }
  return key;
};

const checkFolders = (settings: Settings): void => {
  const configDir = dirname(resolve(settings.CONFIG_FILE));
  if (!statSync(configDir, { throwIfNoEntry: false })?.isDirectory()) {
    throw new BootError(`CONFIG_FILE: no such directory: '${configDir}'`);
  }
  const logDir = resolve(settings.LOG_DIR);
  try {
    mkdirSync(logDir, { recursive: true });
    accessSync(logDir, constants.W_OK);
  } catch (error) {
    throw new BootError(`LOG_DIR: cannot write to '${logDir}': ${(error as Error).message}`);
  }
};

const lock = (stateDir: string): { release(): void } => {
  try {
    return takeLock(join(stateDir, "lock"), `pid ${process.pid}`);
  } catch (error) {
    if (!(error instanceof LockedError)) throw new BootError(`cannot lock '${stateDir}': ${(error as Error).message}`);
    throw new BootError(`another solar-host (${error.owner}) already serves this directory`);
  }
};

/** Requests to our own children never go through a proxy; the children themselves still get its settings. */
const withoutProxies = (): Record<string, string | undefined> => {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^(https?|all)_proxy$/i.test(name)) delete process.env[name];
  }
  return env;
};

const createHost = (settings: Settings, stateDir: string, journal: DaemonJournal): Host => {
  const env = withoutProxies();
  return {
    folder: realpathSync(dirname(stateDir)),
    ports: new PortRegistry(settings.START_PORT),
    gate: new StartGate(settings.MAX_PARALLEL_STARTS),
    policy: defaultPolicy(settings.MAX_RETRIES),
    journal,
    logs: {
      dir: resolve(settings.LOG_DIR),
      indexDir: join(stateDir, "index"),
      bufferSize: settings.LOG_BUFFER_SIZE,
      maxBytes: settings.LOG_MAX_MB * MIB,
      keepFiles: settings.LOG_KEEP_FILES,
      freeHead: punchHead,
    },
    segments: new RecordFolder(join(stateDir, "instances"), ".log.json", true, areSegments),
    launches: new RecordFolder(join(stateDir, "instances"), ".launch.json", false, isLaunchRecord),
    env,
    llamaServer: settings.LLAMA_SERVER,
    python: settings.PYTHON,
    pyserverDir: () => unpackPyserver(env),
    stopTimeout: settings.STOP_TIMEOUT * 1000,
    healthInterval: settings.HEALTH_INTERVAL * 1000,
    hangTimeout: settings.HANG_TIMEOUT * 1000,
  };
};

const listen = (settings: Settings, key: string, supervisor: Supervisor, journal: DaemonJournal) => {
  const report = (error: Error): void => journal.error(`unexpected error: ${error.message}`, { stack: error.stack });
  const routes = lazyRoutes({
    supervisor,
    readMemory: createMemoryReader(),
    startWaitMs: settings.START_WAIT * 1000,
    report,
  });
  const mayEnter = createKeyCheck(key);
  const front = createFront(mayEnter, routes.answer);
  const hub = new SocketHub(supervisor, mayEnter, report);
  supervisor.onRemoved = (id) => hub.closeFor(id);
  try {
    const server = Bun.serve<SocketData>({
      hostname: settings.HOST,
      port: settings.PORT,
      idleTimeout: IDLE_SECONDS,
      development: false,
      fetch(request, self) {
        const socket = requestedSocket(request);
        if (socket !== null) return hub.upgrade(request, socket, self);
        if (request.method === "POST" && WAITING.test(request.url)) self.timeout(request, 0);
        return front(request);
      },
      websocket: hub.handler,
    });
    routes.loadSoon();
    return { server, hub };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "the address is already in use" : message;
    throw new BootError(
      `cannot listen on ${settings.HOST}:${settings.PORT}: ${why}. Change PORT or HOST, or stop the other program.`,
    );
  }
};

/** A fault that nobody foresaw is told, and does not end the daemon: whoever watches over models must not be gone. */
const goOnAfterFaults = (journal: DaemonJournal): void => {
  const report = (fault: unknown): void => {
    const error = fault instanceof Error ? fault : new Error(String(fault));
    journal.error(`unexpected error: ${error.message}`, { stack: error.stack });
  };
  process.on("unhandledRejection", report);
  process.on("uncaughtException", report);
};

/** Runs until a signal ends it; gives the exit code. */
const serve = async (flags: DaemonFlags): Promise<number> => {
  const envPath = resolve(".env");
  const settings = resolveSettings(flags.settings, process.env, readEnvFile(envPath));
  const journal = createJournal({
    format: settings.LOG_FORMAT,
    level: settings.LOG_LEVEL,
    color: wantsColor(process.stderr, process.env),
    write: print,
  });
  goOnAfterFaults(journal);
  checkFolders(settings);
  const configPath = resolve(settings.CONFIG_FILE);
  const stateDir = join(dirname(configPath), ".solar-host");
  const held = lock(stateDir);
  const key = obtainKey(settings, flags, envPath);
  removeRests(configPath);
  const loaded = await loadConfig(configPath);
  for (const problem of loaded.problems) journal.warn(problem);

  const host = createHost(settings, stateDir, journal);
  const supervisor = new Supervisor(
    host,
    loaded,
    (snapshot) => new ConfigFile(configPath, loaded.unreadable, snapshot),
  );
  await supervisor.adopt();
  const { server, hub } = await orLetGo(supervisor, () => listen(settings, key, supervisor, journal));
  const removeRecord = leaveRecord(
    { host: settings.HOST, port: server.port ?? settings.PORT, directory: dirname(configPath), key },
    (problem) => journal.warn(problem),
  );
  journal.info(`solar-host ${version} listens on http://${settings.HOST}:${server.port} (docs at /docs)`);
  supervisor.startWanted();
  setTimeout(releaseBootCode, BOOT_OVER_MS).unref();

  const ended = await untilAskedToEnd(supervisor, journal, settings.KEEP_INSTANCES);
  hub.closeAll();
  await server.stop(true);
  removeRecord();
  held.release();
  if (ended) journal.info("ended");
  else journal.error("ended, though processes are left that SIGKILL does not end; the next daemon goes on ending them");
  return ended ? 0 : 1;
};

/** What was adopted goes on when the boot fails later. */
const orLetGo = async <T>(supervisor: Supervisor, step: () => T): Promise<T> => {
  try {
    return step();
  } catch (error) {
    await supervisor.shutDown(true);
    throw error;
  }
};

/** Resolves when everything is stopped (or let go of) after a signal, or cannot be; a second signal hurries it. */
const untilAskedToEnd = (supervisor: Supervisor, journal: DaemonJournal, keepInstances: boolean): Promise<boolean> =>
  new Promise((done) => {
    let asked = false;
    const end = (signal: NodeJS.Signals): void => {
      if (asked) {
        journal.warn(`${signal} again: ending at once`);
        supervisor.hurryShutDown();
        return;
      }
      asked = true;
      journal.info(`${signal}: ${keepInstances ? "leaving the instances running" : "stopping every instance"}`);
      void supervisor.shutDown(keepInstances).then(done);
    };
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, end);
  });

/** The command `serve`. */
export const runDaemon = async (flags: DaemonFlags): Promise<number> => {
  // A reader of our stderr that went away is no reason to end.
  process.stderr.on("error", () => undefined);
  try {
    return await serve(flags);
  } catch (error) {
    if (error instanceof BootError || error instanceof ConfigFileError || error instanceof SettingsError) {
      print(`solar-host: ${error.message}\n`);
      return error instanceof BootError ? error.exitCode : error instanceof SettingsError ? 2 : 1;
    }
    print(`solar-host: ${(error as Error).message}\n`);
    return 1;
  }
};
