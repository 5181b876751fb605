import type { ProgramSetting, Services } from "../backends/index.ts";
import type { Journal } from "../common/journal.ts";
import type { ProcessIdentity } from "../process/identity.ts";
import type { RecordFolder } from "../store/records.ts";
import type { LaunchRecord } from "./launch-record.ts";

/** The parts of the daemon and of its settings with which a model server is started and watched. */
export interface LaunchServices extends Services {
  /** The daemon's folder: its id, which no other folder has, and its path as of the boot. */
  readonly folder: { readonly id: string; readonly path: string };
  /** The daemon itself, as the owner of what it starts and takes over. */
  readonly self: ProcessIdentity;
  /** Throws where the daemon's folder was moved, or replaced, since the start. */
  readonly checkPlace: () => void;
  readonly journal: Journal;
  readonly launches: RecordFolder<LaunchRecord>;
  /** The environment that the daemon was started with: what children inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Settings that name programs of backends; empty means: look on PATH. */
  readonly programs: Readonly<Record<ProgramSetting, string>>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number;
  /** Milliseconds between health checks of a running instance; 0 is never. */
  readonly healthInterval: number;
  /** Milliseconds for which an instance at work may stay silent. */
  readonly hangTimeout: number;
}
