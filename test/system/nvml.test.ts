import { cc } from "bun:ffi";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseGpus } from "../../src/system/gpu-probe.ts";
import { nvmlCore, nvmlRecent, readGpus } from "../../src/system/nvml-gpus.ts";

/** The signatures and structs are held against C: by Bun's own compiler always, by the system's where there is one. */

const source = join(import.meta.dir, "fake-nvml.c");
const main = join(import.meta.dir, "../../src/main.ts");
const GIB = 2 ** 30;
const gpu = (index: number, used: number) => ({
  index,
  name: `NVIDIA Fake ${index}`,
  memory: { used: used * GIB, total: 24 * GIB },
});

const recent = (define: Record<string, string> = {}) =>
  readGpus(cc({ source, define, symbols: { ...nvmlCore, ...nvmlRecent } }).symbols);

describe("NVML", () => {
  test("each GPU has its name and memory, and what the driver keeps for itself is not counted as used", () => {
    expect(recent()).toEqual({ type: "gpus", gpus: [gpu(0, 1), gpu(1, 2)] });
  });

  test("a driver without the second version of the memory's figures is asked for the first", () => {
    const { symbols } = cc({ source, define: { OLD_DRIVER: "1" }, symbols: nvmlCore });
    expect(readGpus(symbols)).toEqual({ type: "gpus", gpus: [gpu(0, 2), gpu(1, 3)] });
  });

  test("a GPU that uses the system's memory has none of its own", () => {
    const name = "NVIDIA Fake 0";
    expect(recent({ UNIFIED: "1", GPUS: "1" })).toEqual({ type: "gpus", gpus: [{ index: 0, name, memory: null }] });
  });

  test("a GPU cut into parts, of which alone we may see the memory, has that of its parts", () => {
    const memory = { used: 8 * GIB, total: 20 * GIB };
    expect(recent({ MIG: "1", GPUS: "1" })).toEqual({
      type: "gpus",
      gpus: [{ index: 0, name: "NVIDIA Fake 0", memory }],
    });
  });

  test("a GPU that has fallen off the bus does not hide the other", () => {
    expect(recent({ LOST: "0" })).toEqual({
      type: "gpus",
      gpus: [{ index: 0, name: "NVIDIA GPU", memory: null }, gpu(1, 2)],
    });
    expect(recent({ LOST: "0", GPUS: "1" })).toEqual({ type: "failed", reason: "memory of GPU 0: NVML error 15" });
  });

  test("no driver and no GPU are none; a driver that does not fit its library is a failure", () => {
    expect(recent({ INIT: "9" })).toEqual({ type: "none" });
    expect(recent({ GPUS: "0" })).toEqual({ type: "none" });
    expect(recent({ INIT: "18" })).toEqual({ type: "failed", reason: "nvmlInit: NVML error 18" });
  });
});

/** The hidden command, with a folder of libraries before the loader's own. */
async function probe(libraries: string) {
  const child = Bun.spawn([process.execPath, main, "__nvml"], {
    env: { ...process.env, LD_LIBRARY_PATH: libraries },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, stdout, stderr };
}

const compiler = process.platform === "linux" ? (Bun.which("cc") ?? Bun.which("gcc") ?? Bun.which("clang")) : null;

describe.skipIf(compiler === null)("the hidden command, on a library that a C compiler made", () => {
  const dir = mkdtempSync(join(tmpdir(), "fake-nvml-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  function library(...define: string[]): string {
    const folder = mkdtempSync(join(dir, "lib-"));
    const flags = ["-shared", "-fPIC", "-w", ...define.map((name) => `-D${name}`)];
    const argv = [compiler ?? "cc", ...flags, "-o", join(folder, "libnvidia-ml.so.1"), source];
    const { exitCode, stderr } = Bun.spawnSync(argv);
    if (exitCode !== 0) throw new Error(stderr.toString());
    return folder;
  }

  test("prints the GPUs and ends with 0", async () => {
    const { code, stdout } = await probe(library());
    expect(code).toBe(0);
    expect(parseGpus(stdout)).toEqual([gpu(0, 1), gpu(1, 2)]);
  });

  test("reads the library of an older driver", async () => {
    const { code, stdout } = await probe(library("OLD_DRIVER"));
    expect(code).toBe(0);
    expect(parseGpus(stdout)).toEqual([gpu(0, 2), gpu(1, 3)]);
  });

  test("ends with 3 without a driver, and with 1 and the reason where it fails", async () => {
    expect(await probe(library("INIT=9"))).toEqual({ code: 3, stdout: "", stderr: "" });
    expect(await probe(library("INIT=18"))).toEqual({ code: 1, stdout: "", stderr: "nvmlInit: NVML error 18\n" });
  });
});
