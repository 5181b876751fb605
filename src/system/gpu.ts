/** What probes say of the machine's NVIDIA GPUs. */

export interface Gpu {
  /** Of the driver's own numbering. */
  index: number;
  name: string;
  /** Bytes; null where the driver does not tell, as on machines whose GPU uses the system's memory. */
  memory: { used: number; total: number } | null;
}

export type GpuProbe =
  | { type: "gpus"; gpus: Gpu[] }
  /** This machine has no NVIDIA GPU, or no driver for it. */
  | { type: "none" }
  /** It may have some, but they could not be asked. */
  | { type: "failed"; reason: string };

/** Exit codes by which the NVML probe, a process of its own, says the same. */
export const probeExit = { gpus: 0, failed: 1, none: 3 } as const;
