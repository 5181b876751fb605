import type { Gpu } from "./gpu.ts";

/** What NVIDIA's own program prints of the GPUs. Pure. */

export const NVIDIA_SMI_ARGUMENTS = [
  "--query-gpu=index,name,memory.used,memory.total",
  "--format=csv,noheader,nounits",
] as const;

const MIB = 2 ** 20;

/** Exit codes that say: nothing found, driver not loaded, library not there. Source: its manual, "RETURN VALUE". */
export function saysNoGpu(code: number | null): boolean {
  return code === 6 || code === 9 || code === 12;
}

/**
 * One GPU a line: `0, NVIDIA A100-SXM4-80GB, 8, 81920`, in MiB. `[N/A]`, `[Not Supported]` and
 * `[Insufficient Permissions]` stand where it does not tell. Lines of another shape are passed over.
 */
export function parseNvidiaSmi(text: string): Gpu[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*(\d+),\s*(.*?),\s*([^,]+),\s*([^,]+)$/.exec(line.trimEnd());
    if (match === null) return [];
    const [, index, name = "", used = "", total = ""] = match;
    return [{ index: Number(index), name, memory: memoryOf(used.trim(), total.trim()) }];
  });
}

function memoryOf(used: string, total: string): Gpu["memory"] {
  const digits = /^\d+$/;
  if (!digits.test(used) || !digits.test(total) || Number(total) === 0) return null;
  return { used: Number(used) * MIB, total: Number(total) * MIB };
}
