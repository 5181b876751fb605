import type { Memory } from "../contract/index.ts";
import type { Gpu, GpuProbe } from "./gpu.ts";
import { createGpuProbe } from "./gpu-probe.ts";
import { type Ram, readRam } from "./ram.ts";

/** How much memory the machine has for models: its GPUs' where their driver tells, else its own. */

export interface MemoryReaderOptions {
  probeGpus: () => Promise<GpuProbe>;
  readRam: () => Promise<Ram>;
  /** Milliseconds that only ever grow. */
  now: () => number;
  /** For how long a caller waits for a probe before it is given the reading before. */
  patienceMs: number;
}

/** For how long a reading is given out as it is. */
const FRESH_MS = 5_000;
/** For how long the last reading of the GPUs stands in while they cannot be asked. */
const KEEP_MS = 60_000;
/** Milliseconds after which a machine is asked again that has no GPU or told nothing. */
const ABSENT_MS = 300_000;
const FAILED_MS = 30_000;

interface Reading {
  memory: Memory;
  /** When it was asked for last, and when what it says was measured. */
  at: number;
  measured: number;
}

/**
 * Gives a function that reads the memory. A reading is at most 5 s old; while the GPUs cannot be asked, or take
 * longer than `patienceMs` to answer, it is at most a minute old, and after that it is the machine's own memory.
 * Callers at the same time share one probe, and no probe runs on the event loop.
 */
export const createMemoryReader = (options: Partial<MemoryReaderOptions> = {}): (() => Promise<Memory>) => {
  const now = options.now ?? (() => performance.now());
  const ram = options.readRam ?? readRam;
  const patienceMs = options.patienceMs ?? 2_000;
  const readGpus = createGpuReader(options.probeGpus ?? createGpuProbe(), now);
  let last: Reading | null = null;
  let running: Promise<Memory> | null = null;

  const refresh = async (): Promise<Memory> => {
    const gpus = await readGpus();
    const memory = gpus === null ? memoryOfRam(await ram()) : memoryOfGpus(gpus.gpus);
    last = { memory, at: now(), measured: gpus?.measured ?? now() };
    return memory;
  };

  return async () => {
    if (last !== null && now() - last.at < FRESH_MS) return last.memory;
    running ??= refresh().finally(() => {
      running = null;
    });
    const before = last !== null && now() - last.measured < KEEP_MS ? last.memory : null;
    return before === null ? running : withPatience(running, patienceMs, before);
  };
};

interface KnownGpus {
  gpus: Gpu[];
  measured: number;
}

/** The GPUs whose memory is known; null where there are none. Remembers that there are none. */
const createGpuReader = (probeGpus: () => Promise<GpuProbe>, now: () => number): (() => Promise<KnownGpus | null>) => {
  let known: KnownGpus | null = null;
  let notBefore = Number.NEGATIVE_INFINITY;
  return async () => {
    if (now() < notBefore) return null;
    const probe = await probeGpus();
    if (probe.type === "failed") {
      if (known !== null && now() - known.measured < KEEP_MS) return known;
      known = null;
      notBefore = now() + FAILED_MS;
      return null;
    }
    const gpus = probe.type === "gpus" ? probe.gpus.filter((gpu) => gpu.memory !== null) : [];
    known = gpus.length === 0 ? null : { gpus, measured: now() };
    if (known === null) notBefore = now() + ABSENT_MS;
    return known;
  };
};

const withPatience = async <T>(promise: Promise<T>, ms: number, otherwise: T): Promise<T> => {
  const { promise: late, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(otherwise), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
};

const memoryOfGpus = (gpus: readonly Gpu[]): Memory => {
  const sum = { used: 0, total: 0 };
  const devices = gpus.map(({ index, name, memory }) => {
    sum.used += memory?.used ?? 0;
    sum.total += memory?.total ?? 0;
    return { index, name, ...figures(memory ?? { used: 0, total: 0 }) };
  });
  return { ...figures(sum), memory_type: "VRAM", devices };
};

const memoryOfRam = (ram: Ram): Memory => ({ ...figures(ram), memory_type: "RAM", devices: [] });

const GIB = 2 ** 30;

/** Rounded from the bytes, each for itself, so that a sum is not one of rounded parts. */
const figures = ({ used, total }: Ram): Pick<Memory, "used_gb" | "total_gb" | "percent"> => ({
  used_gb: round(used / GIB),
  total_gb: round(total / GIB),
  percent: total > 0 ? round((used / total) * 100) : 0,
});

const round = (value: number): number => Math.round(value * 100) / 100;
