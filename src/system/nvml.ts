import { dlopen } from "bun:ffi";
import { writeSync } from "node:fs";
import { probeExit } from "./gpu.ts";
import { type NvmlApi, nvmlCore, nvmlRecent, readGpus } from "./nvml-gpus.ts";

/**
 * NVIDIA's management library, asked in a process of its own: loading the driver and asking it takes hundreds of
 * milliseconds where nothing keeps it loaded, and a driver in trouble answers never.
 */

/** By the loader's own search first, then where WSL, NixOS and the container toolkits put it. */
const LIBRARIES = [
  "libnvidia-ml.so.1",
  "/usr/lib/wsl/lib/libnvidia-ml.so.1",
  "/run/opengl-driver/lib/libnvidia-ml.so.1",
  "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
];

/**
 * Prints the GPUs as JSON (`Gpu[]`) and ends the process with code 0; with 3 where there is no NVML, no driver or
 * no GPU, with 1 and a sentence on stderr where they cannot be asked. Run by the hidden command `__nvml`.
 */
export const runNvmlProbe = (): void => {
  const api = loadNvml();
  if (api === null) process.exit(probeExit.none);
  const probe = readGpus(api);
  if (probe.type === "none") process.exit(probeExit.none);
  if (probe.type === "failed") {
    writeSync(2, `${probe.reason}\n`);
    process.exit(probeExit.failed);
  }
  writeSync(1, JSON.stringify(probe.gpus));
  process.exit(probeExit.gpus);
};

const loadNvml = (): NvmlApi | null => {
  for (const library of LIBRARIES) {
    // One missing symbol refuses the whole library, so older drivers are asked for what they have.
    const api =
      attempt(() => dlopen(library, { ...nvmlCore, ...nvmlRecent }).symbols) ??
      attempt(() => dlopen(library, nvmlCore).symbols);
    if (api !== null) return api;
  }
  return null;
};

/** What does not load is not there; bun:ffi tells no more than that. */
const attempt = <T>(load: () => T): T | null => {
  try {
    return load();
  } catch {
    return null;
  }
};
