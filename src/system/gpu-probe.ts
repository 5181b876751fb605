import { systemProblem } from "../common/system-error.ts";
import { type Gpu, type GpuProbe, probeExit } from "./gpu.ts";
import { createRunner, type ProgramResult, type RunProgram } from "./program.ts";

/** Asks for the GPUs: NVML, in a child of our own program. */

/** A driver that nothing keeps loaded takes seconds to come up, for each GPU. */
const LIMIT_MS = 10_000;

export interface GpuProbeOptions {
  /** Command line of the NVML probe. */
  nvml: string[];
  run: RunProgram;
}

export const createGpuProbe = (options: Partial<GpuProbeOptions> = {}): (() => Promise<GpuProbe>) => {
  const nvml = options.nvml ?? ownProbe();
  const run = options.run ?? createRunner(LIMIT_MS);
  return async () => {
    try {
      const result = await run(nvml);
      return result === "timeout" ? failed("NVML does not answer") : answerOf(result);
    } catch (error) {
      return failed(`NVML cannot be asked: ${systemProblem(error, nvml[0])}`);
    }
  };
};

/** This very program with its hidden command. A compiled one is its own program; otherwise Bun runs the source. */
const ownProbe = (): string[] => [process.execPath, ...(Bun.isStandaloneExecutable ? [] : [Bun.main]), "__nvml"];

const answerOf = ({ code, stdout, stderr }: ProgramResult): GpuProbe => {
  if (code === probeExit.none) return { type: "none" };
  const gpus = code === probeExit.gpus ? parseGpus(stdout) : null;
  return gpus === null ? failed(`NVML probe ended with ${code}: ${stderr.trim()}`) : { type: "gpus", gpus };
};

/** What the NVML probe printed; null for anything else. */
export const parseGpus = (text: string): Gpu[] | null => {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.length > 0 && value.every(isGpu) ? value : null;
  } catch {
    return null;
  }
};

const isGpu = (value: unknown): value is Gpu => {
  if (typeof value !== "object" || value === null) return false;
  const { index, name, memory } = value as Record<string, unknown>;
  if (typeof index !== "number" || typeof name !== "string") return false;
  if (memory === null) return true;
  const { used, total } = (memory ?? {}) as Record<string, unknown>;
  return typeof used === "number" && typeof total === "number";
};

const failed = (reason: string): GpuProbe => ({ type: "failed", reason });
