import { dirname, join, resolve } from "node:path";
import type { Journal } from "../common/journal.ts";
import { LogDisk } from "../logs/log-disk.ts";
import { areSegments } from "../logs/segment.ts";
import { isLaunchRecord } from "../model-server/launch-record.ts";
import { ownIdentity } from "../process/identity.ts";
import { PortRegistry } from "../process/port-registry.ts";
import { punchHead } from "../process/punch.ts";
import { isKeptState } from "../runtime/kept-state.ts";
import { knowFolder } from "../store/folder-identity.ts";
import { withoutHome } from "../store/home.ts";
import { pyserverUnpacker } from "../store/pyserver-package.ts";
import { RecordFolder } from "../store/records.ts";
import type { Settings } from "../store/settings.ts";
import type { Host } from "../supervisor/host.ts";
import { defaultPolicy } from "../supervisor/restart-policy.ts";
import { StartGate } from "../supervisor/start-gate.ts";

/** What the supervisor stands on, made of the settings and the folder of the daemon. */

const MIB = 1024 * 1024;

/** Requests to our own children never go through a proxy; the children themselves still get its settings. */
const withoutProxies = (): Record<string, string | undefined> => {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^(https?|all)_proxy$/i.test(name)) delete process.env[name];
  }
  return env;
};

/** Before anything is adopted or ended. */
const knownFolder = (stateDir: string, bootId: string, warn: (message: string) => void): Host["folder"] => {
  const { identity, copyOf } = knowFolder(stateDir, bootId);
  if (copyOf !== null) {
    warn(
      `${identity.path} is a copy of a daemon's folder (that was in ${copyOf}): it gets an identity of its own, and what ` +
        "daemons of the other folder started is left alone",
    );
  }
  return identity;
};

/** @param stateDir `.solar-host` of the daemon's folder @param checkPlace throws where that folder was moved */
export const createHost = (settings: Settings, stateDir: string, journal: Journal, checkPlace: () => void): Host => {
  const env = withoutHome(withoutProxies(), stateDir);
  const warn = (message: string): void => journal.warn(message);
  const self = ownIdentity();
  return {
    folder: knownFolder(stateDir, self.bootId, warn),
    self,
    checkPlace,
    ports: new PortRegistry(settings.START_PORT),
    gate: new StartGate(settings.MAX_PARALLEL_STARTS),
    policy: defaultPolicy(settings.MAX_RETRIES),
    journal,
    logs: {
      dir: resolve(settings.LOG_DIR),
      home: dirname(stateDir),
      indexDir: join(stateDir, "index"),
      bufferSize: settings.LOG_BUFFER_SIZE,
      maxBytes: settings.LOG_MAX_MB * MIB,
      keepFiles: settings.LOG_KEEP_FILES,
      freeHead: punchHead,
    },
    logDisk: new LogDisk(resolve(settings.LOG_DIR)),
    segments: new RecordFolder(join(stateDir, "instances"), ".log.json", true, areSegments, warn, checkPlace),
    launches: new RecordFolder(join(stateDir, "instances"), ".launch.json", false, isLaunchRecord, warn, checkPlace),
    states: new RecordFolder(join(stateDir, "states"), ".json", false, isKeptState, warn, checkPlace),
    env,
    programs: settings,
    pyserverDir: pyserverUnpacker(env, stateDir),
    stopTimeout: settings.STOP_TIMEOUT * 1000,
    healthInterval: settings.HEALTH_INTERVAL * 1000,
    hangTimeout: settings.HANG_TIMEOUT * 1000,
  };
};
