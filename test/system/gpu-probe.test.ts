import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGpuProbe, parseGpus } from "../../src/system/gpu-probe.ts";
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

const a100 = { index: 0, name: "NVIDIA A100", memory: { used: 8 * MIB, total: 81920 * MIB } };

test("what the NVML probe printed is believed only when it has the right shape", () => {
  expect(parseGpus(JSON.stringify([a100]))).toEqual([a100]);
  expect(parseGpus('[{"index":0,"name":"x","memory":null}]')).toEqual([{ index: 0, name: "x", memory: null }]);
  for (const text of ["", "[]", "{}", '[{"index":0}]', '[{"index":0,"name":"x","memory":{"used":"1"}}]', "[1"]) {
    expect(parseGpus(text)).toBeNull();
  }
});

describe("asking", () => {
  test("NVML's answer is the machine's GPUs", async () => {
    const nvml = program(`echo '${JSON.stringify([a100])}'`);
    expect(await createGpuProbe({ nvml: [nvml] })()).toEqual({ type: "gpus", gpus: [a100] });
  });

  test("a machine without a GPU has none", async () => {
    expect(await createGpuProbe({ nvml: [program("exit 3")] })()).toEqual({ type: "none" });
  });

  test("a failure is told with its reason: an error, a crash, an answer of another shape, no program", async () => {
    const nvml = program("echo 'nvmlInit: NVML error 18' >&2; exit 1");
    expect(await createGpuProbe({ nvml: [nvml] })()).toEqual({
      type: "failed",
      reason: "NVML probe ended with 1: nvmlInit: NVML error 18",
    });
    for (const broken of [program("kill -SEGV $$"), program("echo nonsense"), join(dir, "missing")]) {
      expect(await createGpuProbe({ nvml: [broken] })()).toMatchObject({ type: "failed" });
    }
  });

  test("a driver that hangs costs the time limit once", async () => {
    const probe = createGpuProbe({ nvml: [program("exec sleep 60")], run: createRunner(100) });
    expect(await probe()).toEqual({ type: "failed", reason: "NVML does not answer" });
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

  test("does not run in the daemon's directory, where a foreign library may lie", async () => {
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
