import { type Gpu, type GpuProbe, probeExit } from "./gpu.ts";
import { NVIDIA_SMI_ARGUMENTS, parseNvidiaSmi, saysNoGpu } from "./nvidia-smi.ts";
import { createRunner, type RunProgram } from "./program.ts";

/** Asks for the GPUs: NVML in a child of our own program, and where that gives nothing, `nvidia-smi`. */

/** A driver that nothing keeps loaded takes seconds to come up, for each GPU. */
const LIMIT_MS = 10_000;

export interface GpuProbeOptions {
  /** Command line of the NVML probe. */
  nvml: string[];
  /** Path of `nvidia-smi`; null where there is none. */
  nvidiaSmi: string | null;
  run: RunProgram;
}

export function createGpuProbe(options: Partial<GpuProbeOptions> = {}): () => Promise<GpuProbe> {
  const nvml = options.nvml ?? ownProbe();
  const run = options.run ?? createRunner(LIMIT_MS);
  return async () => {
    const first = await ask(run, nvml, nvmlAnswer);
    if (first === "timeout") return failed("NVML does not answer");
    if (first.type === "gpus") return first;
    const nvidiaSmi = options.nvidiaSmi === undefined ? Bun.which("nvidia-smi") : options.nvidiaSmi;
    if (nvidiaSmi === null) return first;
    const second = await ask(run, [nvidiaSmi, ...NVIDIA_SMI_ARGUMENTS], nvidiaSmiAnswer);
    if (second === "timeout") return failed("nvidia-smi does not answer");
    return second.type === "none" ? first : second;
  };
}

/** This very program with its hidden command. A compiled one is its own program; otherwise Bun runs the source. */
function ownProbe(): string[] {
  return [process.execPath, ...(Bun.isStandaloneExecutable ? [] : [Bun.main]), "__nvml"];
}

type Answer = (code: number | null, stdout: string, stderr: string) => GpuProbe;

async function ask(run: RunProgram, argv: string[], answer: Answer): Promise<GpuProbe | "timeout"> {
  try {
    const result = await run(argv);
    return result === "timeout" ? result : answer(result.code, result.stdout, result.stderr);
  } catch (error) {
    return failed(`${argv[0]}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function nvmlAnswer(code: number | null, stdout: string, stderr: string): GpuProbe {
  if (code === probeExit.none) return { type: "none" };
  const gpus = code === probeExit.gpus ? parseGpus(stdout) : null;
  return gpus === null ? failed(`NVML probe ended with ${code}: ${stderr.trim()}`) : { type: "gpus", gpus };
}

function nvidiaSmiAnswer(code: number | null, stdout: string, stderr: string): GpuProbe {
  if (saysNoGpu(code)) return { type: "none" };
  if (code !== 0) return failed(`nvidia-smi ended with ${code}: ${(stderr || stdout).trim()}`);
  const gpus = parseNvidiaSmi(stdout);
  return gpus.length === 0 ? { type: "none" } : { type: "gpus", gpus };
}

/** What the NVML probe printed; null for anything else. */
export function parseGpus(text: string): Gpu[] | null {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.length > 0 && value.every(isGpu) ? value : null;
  } catch {
    return null;
  }
}

function isGpu(value: unknown): value is Gpu {
  if (typeof value !== "object" || value === null) return false;
  const { index, name, memory } = value as Record<string, unknown>;
  if (typeof index !== "number" || typeof name !== "string") return false;
  if (memory === null) return true;
  const { used, total } = (memory ?? {}) as Record<string, unknown>;
  return typeof used === "number" && typeof total === "number";
}

function failed(reason: string): GpuProbe {
  return { type: "failed", reason };
}
