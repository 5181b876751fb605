import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGpuProbe, parseGpus } from "../../src/system/gpu-probe.ts";
import { parseNvidiaSmi } from "../../src/system/nvidia-smi.ts";
import { createRunner } from "../../src/system/program.ts";
import { until } from "../support/until.ts";

const MIB = 2 ** 20;
const dir = mkdtempSync(join(tmpdir(), "gpu-probe-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A program in its place. */
function program(script: string): string {
  const path = join(dir, crypto.randomUUID());
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const noNvml = () => program("exit 3");
const noNvidiaSmi = null;
const a100 = { index: 0, name: "NVIDIA A100", memory: { used: 8 * MIB, total: 81920 * MIB } };

describe("nvidia-smi's lines", () => {
  test("give each GPU in bytes", () => {
    expect(parseNvidiaSmi("0, NVIDIA A100, 8, 81920\n1, NVIDIA H200, 1024, 143771\n")).toEqual([
      a100,
      { index: 1, name: "NVIDIA H200", memory: { used: 1024 * MIB, total: 143771 * MIB } },
    ]);
  });

  test.each(["[N/A]", "[Not Supported]", "[Insufficient Permissions]", "[Unknown Error]", "N/A"])(
    "with %s give no memory",
    (text) => {
      expect(parseNvidiaSmi(`0, NVIDIA GB10, ${text}, ${text}\n`)).toEqual([
        { index: 0, name: "NVIDIA GB10", memory: null },
      ]);
    },
  );

  test("keep a comma within a name, and ends of lines out of it", () => {
    expect(parseNvidiaSmi("0, NVIDIA, special, 8, 16\r\n")).toEqual([
      { index: 0, name: "NVIDIA, special", memory: { used: 8 * MIB, total: 16 * MIB } },
    ]);
  });

  test("of other shapes are none", () => {
    expect(parseNvidiaSmi("No devices were found\n")).toEqual([]);
    expect(parseNvidiaSmi("")).toEqual([]);
  });
});

test("what the NVML probe printed is believed only when it has the right shape", () => {
  expect(parseGpus(JSON.stringify([a100]))).toEqual([a100]);
  expect(parseGpus('[{"index":0,"name":"x","memory":null}]')).toEqual([{ index: 0, name: "x", memory: null }]);
  for (const text of ["", "[]", "{}", '[{"index":0}]', '[{"index":0,"name":"x","memory":{"used":"1"}}]', "[1"]) {
    expect(parseGpus(text)).toBeNull();
  }
});

describe("asking", () => {
  test("NVML's answer needs no nvidia-smi", async () => {
    const nvml = program(`echo '${JSON.stringify([a100])}'`);
    const nvidiaSmi = program(`touch ${dir}/asked`);
    expect(await createGpuProbe({ nvml: [nvml], nvidiaSmi })()).toEqual({ type: "gpus", gpus: [a100] });
    expect(await Bun.file(`${dir}/asked`).exists()).toBe(false);
  });

  test("without NVML, nvidia-smi answers, asked for just that", async () => {
    const nvidiaSmi = program(`echo "$*" >${dir}/arguments; echo '0, NVIDIA A100, 8, 81920'`);
    expect(await createGpuProbe({ nvml: [noNvml()], nvidiaSmi })()).toEqual({ type: "gpus", gpus: [a100] });
    expect(await Bun.file(`${dir}/arguments`).text()).toBe(
      "--query-gpu=index,name,memory.used,memory.total --format=csv,noheader,nounits\n",
    );
  });

  test("a broken NVML probe is made up for by nvidia-smi", async () => {
    const nvidiaSmi = program("echo '0, NVIDIA A100, 8, 81920'");
    for (const nvml of [program("kill -SEGV $$"), program("echo nonsense"), join(dir, "missing")]) {
      expect(await createGpuProbe({ nvml: [nvml], nvidiaSmi })()).toEqual({ type: "gpus", gpus: [a100] });
    }
  });

  test("a machine without a GPU has none", async () => {
    expect(await createGpuProbe({ nvml: [noNvml()], nvidiaSmi: noNvidiaSmi })()).toEqual({ type: "none" });
    for (const script of ["exit 6", "exit 9", "exit 12", "echo No devices were found"]) {
      expect(await createGpuProbe({ nvml: [noNvml()], nvidiaSmi: program(script) })()).toEqual({ type: "none" });
    }
  });

  test("a failure is told with its reason", async () => {
    const nvml = program("echo 'nvmlInit: NVML error 18' >&2; exit 1");
    expect(await createGpuProbe({ nvml: [nvml], nvidiaSmi: noNvidiaSmi })()).toEqual({
      type: "failed",
      reason: "NVML probe ended with 1: nvmlInit: NVML error 18",
    });
    expect(await createGpuProbe({ nvml: [nvml], nvidiaSmi: program("echo broken >&2; exit 255") })()).toEqual({
      type: "failed",
      reason: "nvidia-smi ended with 255: broken",
    });
  });

  test("a driver that hangs costs the time limit once, and nvidia-smi is not sent after it", async () => {
    const nvml = program("exec sleep 60");
    const nvidiaSmi = program(`touch ${dir}/sent`);
    const probe = createGpuProbe({ nvml: [nvml], nvidiaSmi, run: createRunner(100) });
    const began = performance.now();
    expect(await probe()).toEqual({ type: "failed", reason: "NVML does not answer" });
    expect(performance.now() - began).toBeLessThan(3000);
    expect(await Bun.file(`${dir}/sent`).exists()).toBe(false);
  });
});

describe("a program that is run", () => {
  test("does not get the daemon's secrets", async () => {
    const run = createRunner(5000, { PATH: process.env.PATH, API_KEY: "secret", LD_LIBRARY_PATH: "/x" });
    const result = await run([program("env")]);
    if (result === "timeout") throw new Error(result);
    expect(result.stdout).toContain("LD_LIBRARY_PATH=/x");
    expect(result.stdout).not.toContain("secret");
  });

  test("does not run in the daemon's directory, where anyone's library may lie", async () => {
    expect(await createRunner(5000)([program("pwd")])).toMatchObject({ stdout: "/\n" });
  });

  test("holds up no other one once it has gone", async () => {
    const run = createRunner(500);
    expect(await run([program("exec sleep 60")])).toBe("timeout");
    const next = await until("the next to run", async () => {
      const result = await run([program("echo well")]);
      return result !== "timeout" && result;
    });
    expect(next).toEqual({ code: 0, stdout: "well\n", stderr: "" });
  });

  test("leaves the event loop free while it runs", async () => {
    let turns = 0;
    const ticker = setInterval(() => turns++, 5);
    await createRunner(5000)([program("sleep 0.3")]);
    clearInterval(ticker);
    expect(turns).toBeGreaterThan(10);
  });
});
