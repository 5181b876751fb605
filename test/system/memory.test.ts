import { beforeEach, describe, expect, test } from "bun:test";
import { memory as schema } from "../../src/contract/index.ts";
import type { GpuProbe } from "../../src/system/gpu.ts";
import { createMemoryReader } from "../../src/system/memory.ts";

const GIB = 2 ** 30;
const ram = { used: 8 * GIB, total: 32 * GIB };
const ramMemory = { used_gb: 8, total_gb: 32, percent: 25, memory_type: "RAM", devices: [] };
const failed: GpuProbe = { type: "failed", reason: "driver" };
const gpus = (...used: (number | null)[]): GpuProbe => ({
  type: "gpus",
  gpus: used.map((gib, index) => ({
    index,
    name: `GPU ${index}`,
    memory: gib === null ? null : { used: gib * GIB, total: 24 * GIB },
  })),
});

/** The reader with probes and a clock of ours. */
let time = 0;
let probes = 0;
let answer: () => GpuProbe | Promise<GpuProbe>;
const reader = (patienceMs = 2000) =>
  createMemoryReader({
    now: () => time,
    patienceMs,
    readRam: async () => ram,
    probeGpus: async () => {
      probes++;
      return answer();
    },
  });

beforeEach(() => {
  time = 1000;
  probes = 0;
  answer = () => ({ type: "none" });
});

describe("what it says", () => {
  test("without a GPU: the machine's memory", async () => {
    expect(await reader()()).toEqual({ ...ramMemory, memory_type: "RAM" });
  });

  test("with GPUs: their sum, and each of them", async () => {
    answer = () => gpus(6, 18);
    expect(await reader()()).toEqual({
      used_gb: 24,
      total_gb: 48,
      percent: 50,
      memory_type: "VRAM",
      devices: [
        { index: 0, name: "GPU 0", used_gb: 6, total_gb: 24, percent: 25 },
        { index: 1, name: "GPU 1", used_gb: 18, total_gb: 24, percent: 75 },
      ],
    });
  });

  test("GiB and percent have two decimals, and the sum is not one of rounded parts", async () => {
    answer = () => gpus(1.004, 1.004, 1.004);
    const memory = await reader()();
    expect(memory).toMatchObject({ used_gb: 3.01, total_gb: 72, percent: 4.18 });
    expect(memory.devices.map((device) => device.used_gb)).toEqual([1, 1, 1]);
    expect(schema.safeParse(memory).success).toBe(true);
  });

  test("a GPU that does not tell is left out, the others stay", async () => {
    answer = () => gpus(null, 12);
    expect(await reader()()).toMatchObject({ used_gb: 12, total_gb: 24, devices: [{ index: 1 }] });
  });

  test("GPUs that use the machine's memory: that memory, under its own name", async () => {
    answer = () => gpus(null);
    expect(await reader()()).toMatchObject({ ...ramMemory, memory_type: "RAM" });
  });
});

describe("how often it asks", () => {
  test("a reading is given out for five seconds", async () => {
    answer = () => gpus(1);
    const read = reader();
    await read();
    answer = () => gpus(2);
    time += 4999;
    expect((await read()).used_gb).toBe(1);
    time += 1;
    expect((await read()).used_gb).toBe(2);
    expect(probes).toBe(2);
  });

  test("callers at the same time share one probe", async () => {
    const { promise, resolve } = Promise.withResolvers<GpuProbe>();
    answer = () => promise;
    const read = reader();
    const readings = [read(), read(), read()];
    resolve(gpus(3));
    expect((await Promise.all(readings)).map((memory) => memory.used_gb)).toEqual([3, 3, 3]);
    expect(probes).toBe(1);
  });

  test("a machine without a GPU is asked for one every five minutes, its memory every five seconds", async () => {
    const read = reader();
    for (; time < 300_000; time += 6000) await read();
    expect(probes).toBe(1);
    time = 301_001;
    answer = () => gpus(5);
    expect((await read()).memory_type).toBe("VRAM");
    expect(probes).toBe(2);
  });

  test("two readers share nothing", async () => {
    await reader()();
    await reader()();
    expect(probes).toBe(2);
  });
});

describe("when the GPUs cannot be asked", () => {
  test("the last reading stands for a minute, then the machine's memory is told", async () => {
    answer = () => gpus(7);
    const read = reader();
    await read();
    answer = () => failed;
    time += 59_000;
    expect(await read()).toMatchObject({ used_gb: 7, memory_type: "VRAM" });
    time += 5_000;
    expect((await read()).memory_type).toBe("RAM");
  });

  test("it is tried again each time while a reading stands, and every half minute after", async () => {
    answer = () => gpus(7);
    const read = reader();
    await read();
    answer = () => failed;
    for (let n = 0; n < 3; n++) {
      time += 5_000;
      await read();
    }
    expect(probes).toBe(4);
    time += 60_000;
    await read();
    time += 29_000;
    await read();
    expect(probes).toBe(5);
    time += 1_000;
    answer = () => gpus(9);
    time += 5_000;
    expect((await read()).used_gb).toBe(9);
  });

  test("a probe that takes long answers with the reading before, and the next with its own", async () => {
    answer = () => gpus(1);
    const read = reader(20);
    await read();
    const { promise, resolve } = Promise.withResolvers<GpuProbe>();
    answer = () => promise;
    time += 6_000;
    expect((await read()).used_gb).toBe(1);
    resolve(gpus(2));
    await Bun.sleep(1);
    expect((await read()).used_gb).toBe(2);
    expect(probes).toBe(2);
  });

  test("a reading that is older than a minute is not given in place of a slow probe", async () => {
    answer = () => gpus(1);
    const read = reader(5);
    await read();
    const { promise, resolve } = Promise.withResolvers<GpuProbe>();
    answer = () => promise;
    time += 61_000;
    const slow = read();
    await Bun.sleep(20);
    resolve(gpus(2));
    expect((await slow).used_gb).toBe(2);
  });

  test("an error of the memory's own reader is the caller's, and the next call tries again", async () => {
    let broken = true;
    const read = createMemoryReader({
      probeGpus: async () => ({ type: "none" }),
      readRam: async () => {
        if (broken) throw new Error("no /proc");
        return ram;
      },
    });
    expect(read()).rejects.toThrow("no /proc");
    await Bun.sleep(1);
    broken = false;
    expect(await read()).toMatchObject({ used_gb: 8 });
  });
});
