import type { BackendType, GenerationMetrics, InstanceConfig, SlotState } from "../contract/index.ts";
import type { DeathCause } from "./death-cause.ts";

/** What a backend must say of itself. All of it is pure: nothing here starts, reads or asks anything. */

/** What the daemon knows of the machine when it builds a command line. */
export interface LaunchContext {
  port: number;
  /** Settings of the daemon that name programs: `LLAMA_SERVER`, `PYTHON`. Empty means: look on PATH. */
  llamaServer: string;
  python: string;
  /** The environment of the daemon, where PATH, CONDA_PREFIX, VIRTUAL_ENV and the like come from. */
  env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  stopTimeout: number;
  /** Folder into which the Python package was unpacked; null where none is needed. */
  pyserverDir: string | null;
}

/** How to start one model server. `argv` never holds a secret; `env` may. */
export interface Launch {
  /** Program first: a path, or a name that is looked up on PATH. */
  argv: string[];
  /** Added to the inherited environment. */
  env: Record<string, string>;
  /** What the program is called where it is not there, or cannot run. */
  programName: string;
  /** How a person names another program: told beside what is wrong with this one. */
  remedy: string;
}

/** A file that must exist before a start, so that the error names the field and not a log line. */
export interface RequiredFile {
  field: string;
  path: string;
}

/** The part of a slot's state that a line or a poll can tell. */
export type SlotProgress = Partial<Omit<SlotState, "slot_id">>;

/** What a finished generation is known by; the instance and the times are added by who reads the log. */
export type FinishedGeneration = Omit<GenerationMetrics, "instance_id" | "started_at" | "finished_at">;

/** What a log line says. */
export type BackendEvent =
  /** The server says it can answer: worth asking its health check now. */
  | { type: "ready" }
  | { type: "loading"; stage: string | null; progress: number | null }
  /** A slot took a task. What was known of the slot before is void. */
  | { type: "slot-started"; slot: number; task: number | null; progress: SlotProgress }
  | { type: "slot-progress"; slot: number; task: number | null; progress: SlotProgress }
  /** A slot is free again; `generation` is null where nothing truthful can be said of it. */
  | { type: "slot-released"; slot: number; task: number | null; generation: FinishedGeneration | null }
  | { type: "all-idle" };

/** Reads one process's log, line by line. Keeps what belongs together across lines, and nothing else. */
export interface LogReader {
  read(line: string): readonly BackendEvent[];
}

/** How to ask a running server for what its log does not say. */
export interface SlotsProbe {
  path: string;
  headers: Record<string, string>;
  /** Body of a 200 answer to what it says of each slot; unknown shapes give nothing. */
  parse(body: unknown): SlotObservation[];
}

/** What a poll saw of one slot. */
export interface SlotObservation {
  slot: number;
  busy: boolean;
  task: number | null;
  /** The whole prompt; null while only a part of it is known. */
  promptTokens: number | null;
  /** Tokens of the prompt that were read so far, and that did not need to be, being in the cache. */
  promptProcessed: number | null;
  promptCached: number | null;
  generatedTokens: number | null;
}

export interface Backend<C extends InstanceConfig = InstanceConfig> {
  type: BackendType;
  supportedEndpoints: readonly string[];
  /** Files that the config names and that must be there. */
  requiredFiles(config: C): RequiredFile[];
  launch(config: C, context: LaunchContext): Launch;
  /** Whether a variable of the daemon's environment would change what the daemon depends on: it is not inherited. */
  isWithheld(variable: string): boolean;
  /** Why a server with this config could never be used, though each field by itself is right; null where it can. */
  obstacle(config: C): string | null;
  /** Path of the health check; it needs no key and answers 200 once the model can answer. */
  healthPath: string;
  createLogReader(): LogReader;
  /** Whether this exit code says that another attempt would end in the same way. */
  isFinalExit(code: number): boolean;
  /** Null where the log says it all. */
  slotsProbe(config: C): SlotsProbe | null;
  /** The lines of a dead process's last output that tell a person why it died; most telling first, at most 3. */
  reasonLines(lines: readonly string[]): string[];
  /** What the same lines say of another attempt; null where they say nothing of it. */
  deathCause(lines: readonly string[]): DeathCause | null;
}
