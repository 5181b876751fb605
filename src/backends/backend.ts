import type { BackendDefinition, ConfigOf, definitions, GenerationMetrics, SlotState } from "../contract/index.ts";
import type { Capabilities } from "./capabilities.ts";
import type { DeathCause } from "./death-cause.ts";
import type { Needs } from "./needs.ts";

/**
 * What a backend must say of itself. All of it is pure: nothing here starts, reads or asks anything, and `prepare` asks
 * the daemon alone.
 */

/** Settings of the daemon that name a program. */
export type ProgramSetting = "LLAMA_SERVER" | "PYTHON";

/** What the daemon does for a backend before a launch. */
export interface Services {
  /** Folder of the Python package, unpacked where that is still to be done. */
  pyserverDir(): Promise<string>;
}

/** What the daemon knows of the machine when it builds a command line. */
export interface LaunchContext {
  port: number;
  /** What the setting of the backend's program says. Empty: look on PATH. */
  program: string;
  /** The environment of the daemon, where PATH, CONDA_PREFIX, VIRTUAL_ENV and the like come from. */
  env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  stopTimeout: number;
}

/** How to start one model server. `argv` never holds a secret; `env` may. */
export interface Launch {
  /** Program first: a path, or a name that is looked up on PATH. */
  argv: string[];
  /** Added to the inherited environment. */
  env: Record<string, string>;
  /** What the program is called where it is not there, or cannot run. */
  programName: string;
  /** How a person names another program; follows the message about this one. */
  remedy: string;
}

/** The part of a slot's state that a line or a poll can tell. */
export type SlotProgress = Partial<Omit<SlotState, "slot_id">>;

/** The figures of a finished generation; the reader of the log adds the instance and the times. */
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

/** @typeParam P what `prepare` gives and `launch` takes */
export interface Backend<D extends BackendDefinition = (typeof definitions)[number], P = unknown> {
  definition: D;
  /** Its program, as people call it, and the setting that names another; null where there is none. */
  program: { name: string; setting: ProgramSetting } | null;
  capabilities(config: ConfigOf<D>): Capabilities;
  needs(config: ConfigOf<D>): Needs;
  /** Has the daemon do what a launch needs. */
  prepare(services: Services): Promise<P>;
  launch(config: ConfigOf<D>, context: LaunchContext, prepared: P): Launch;
  /** Whether a variable of the daemon's environment would change what the daemon depends on: it is not inherited. */
  isWithheld(variable: string): boolean;
  /** Why a server with this config could never be used, though each field by itself is right; null where it can. */
  obstacle(config: ConfigOf<D>): string | null;
  /** Path of the health check; it needs no key and answers 200 once the model can answer. */
  healthPath: string;
  createLogReader(): LogReader;
  /** Whether this exit code says that another attempt would end in the same way. */
  isFinalExit(code: number): boolean;
  /** Null where the log says it all. */
  slotsProbe(config: ConfigOf<D>): SlotsProbe | null;
  /** The lines of a dead process's last output that tell a person why it died; most telling first, at most 3. */
  reasonLines(lines: readonly string[]): string[];
  /** What the same lines say of another attempt; null where they say nothing of it. */
  deathCause(lines: readonly string[]): DeathCause | null;
}
