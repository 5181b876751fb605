import type { Gpu, GpuProbe } from "./gpu.ts";

/** Reads the GPUs through NVML's functions. Source: NVIDIA's nvml.h and NVML API reference. */

/** In every driver that is still in use. A device's handle is a pointer, which is only ever handed back. */
export const nvmlCore = {
  nvmlInit_v2: { args: [], returns: "i32" },
  nvmlShutdown: { args: [], returns: "i32" },
  nvmlDeviceGetCount_v2: { args: ["ptr"], returns: "i32" },
  nvmlDeviceGetHandleByIndex_v2: { args: ["u32", "ptr"], returns: "i32" },
  nvmlDeviceGetName: { args: ["u64", "ptr", "u32"], returns: "i32" },
  nvmlDeviceGetMemoryInfo: { args: ["u64", "ptr"], returns: "i32" },
} as const;

/** Since driver 510. */
export const nvmlRecent = {
  nvmlDeviceGetMemoryInfo_v2: { args: ["u64", "ptr"], returns: "i32" },
  nvmlDeviceGetMaxMigDeviceCount: { args: ["u64", "ptr"], returns: "i32" },
  nvmlDeviceGetMigDeviceHandleByIndex: { args: ["u64", "u32", "ptr"], returns: "i32" },
} as const;

/** The functions as bun:ffi gives them; each answers an `nvmlReturn_t`. */
export interface NvmlApi {
  nvmlInit_v2(): number;
  nvmlShutdown(): number;
  nvmlDeviceGetCount_v2(count: Uint32Array): number;
  nvmlDeviceGetHandleByIndex_v2(index: number, device: BigUint64Array): number;
  nvmlDeviceGetName(device: bigint, name: Uint8Array, length: number): number;
  nvmlDeviceGetMemoryInfo(device: bigint, memory: BigUint64Array): number;
  nvmlDeviceGetMemoryInfo_v2?(device: bigint, memory: BigUint64Array): number;
  nvmlDeviceGetMaxMigDeviceCount?(device: bigint, count: Uint32Array): number;
  nvmlDeviceGetMigDeviceHandleByIndex?(device: bigint, index: number, mig: BigUint64Array): number;
}

const SUCCESS = 0;
const NOT_SUPPORTED = 3;
const NO_PERMISSION = 4;
const DRIVER_NOT_LOADED = 9;
const LIBRARY_NOT_FOUND = 12;

const NAME_BYTES = 96;
/** `nvmlMemory_v2_t` is 40 bytes long; its first field must hold that and the version, 2. */
const MEMORY_V2 = 40n | (2n << 24n);

type Memory = Exclude<Gpu["memory"], null>;

export const readGpus = (api: NvmlApi): GpuProbe => {
  const code = api.nvmlInit_v2();
  if (code === DRIVER_NOT_LOADED || code === LIBRARY_NOT_FOUND) return { type: "none" };
  if (code !== SUCCESS) return failed("nvmlInit", code);
  try {
    const count = new Uint32Array(1);
    const counted = api.nvmlDeviceGetCount_v2(count);
    if (counted !== SUCCESS) return failed("nvmlDeviceGetCount", counted);
    return readEach(api, count[0] ?? 0);
  } finally {
    api.nvmlShutdown();
  }
};

const readEach = (api: NvmlApi, count: number): GpuProbe => {
  if (count === 0) return { type: "none" };
  const gpus: Gpu[] = [];
  let failure: GpuProbe | null = null;
  for (let index = 0; index < count; index++) {
    const handle = new BigUint64Array(1);
    const code = api.nvmlDeviceGetHandleByIndex_v2(index, handle);
    const device = handle[0] ?? 0n;
    const name = code === SUCCESS ? nameOf(api, device) : "NVIDIA GPU";
    const memory = code === SUCCESS ? memoryOf(api, device) : code;
    gpus.push({ index, name, memory: typeof memory === "number" ? null : memory });
    if (typeof memory === "number" && memory !== NOT_SUPPORTED && memory !== NO_PERMISSION) {
      failure = failed(`memory of GPU ${index}`, memory);
    }
  }
  // One GPU that has fallen off the bus must not hide the others; with none left there is nothing to tell.
  const anyKnown = gpus.some((gpu) => gpu.memory !== null);
  return failure !== null && !anyKnown ? failure : { type: "gpus", gpus };
};

const nameOf = (api: NvmlApi, device: bigint): string => {
  const name = new Uint8Array(NAME_BYTES);
  if (api.nvmlDeviceGetName(device, name, NAME_BYTES) !== SUCCESS) return "NVIDIA GPU";
  const end = name.indexOf(0);
  return new TextDecoder().decode(name.subarray(0, end < 0 ? NAME_BYTES : end));
};

/** Bytes, or the error's number. Users without rights over a GPU that is cut up (MIG) see its parts alone. */
const memoryOf = (api: NvmlApi, device: bigint): Memory | number => {
  const memory = memoryInfo(api, device);
  return memory === NO_PERMISSION ? (migMemory(api, device) ?? memory) : memory;
};

/**
 * Version 2 first: version 1 counts as used what the driver keeps for itself (hundreds of MB on large GPUs), and
 * `nvidia-smi`, which people compare with, does not.
 */
const memoryInfo = (api: NvmlApi, device: bigint): Memory | number => {
  const v2 = BigUint64Array.of(MEMORY_V2, 0n, 0n, 0n, 0n);
  if (api.nvmlDeviceGetMemoryInfo_v2?.(device, v2) === SUCCESS) return known(v2[4], v2[1]);
  const v1 = new BigUint64Array(3);
  const code = api.nvmlDeviceGetMemoryInfo(device, v1);
  return code === SUCCESS ? known(v1[2], v1[0]) : code;
};

/** Some drivers of unified-memory machines answer with zeros instead of "not supported". */
const known = (used = 0n, total = 0n): Memory | number =>
  total === 0n ? NOT_SUPPORTED : { used: Number(used), total: Number(total) };

/** Of all its parts together; null where the GPU is not cut up. */
const migMemory = (api: NvmlApi, device: bigint): Memory | null => {
  const count = new Uint32Array(1);
  if (api.nvmlDeviceGetMaxMigDeviceCount?.(device, count) !== SUCCESS) return null;
  const sum: Memory = { used: 0, total: 0 };
  for (let index = 0; index < (count[0] ?? 0); index++) {
    const part = new BigUint64Array(1);
    if (api.nvmlDeviceGetMigDeviceHandleByIndex?.(device, index, part) !== SUCCESS) continue;
    const memory = memoryInfo(api, part[0] ?? 0n);
    if (typeof memory === "number") continue;
    sum.used += memory.used;
    sum.total += memory.total;
  }
  return sum.total > 0 ? sum : null;
};

const failed = (what: string, code: number): GpuProbe => ({ type: "failed", reason: `${what}: NVML error ${code}` });
