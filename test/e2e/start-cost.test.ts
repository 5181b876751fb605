import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { trace } from "../support/crash.ts";
import { TestDaemon } from "../support/daemon.ts";

/** What a start costs the disk, on the built binary. */

setDefaultTimeout(60_000);

const traced = async (
  daemon: TestDaemon,
  act: () => Promise<unknown>,
): Promise<{ fsyncs: string[]; saves: number }> => {
  const file = join(daemon.dir, "start.trace");
  const calls = "trace=fsync,fdatasync,rename,renameat,renameat2";
  const tracer = await trace(daemon.process.pid, ["-y", "-s", "300", "-e", calls, "-o", file]);
  await act();
  await tracer.detach();
  const lines = readFileSync(file, "utf8").split("\n");
  rmSync(file);
  return {
    fsyncs: lines.filter((line) => /\bf(data)?sync\(/.test(line) && !line.includes("resumed>")),
    saves: lines.filter((line) => line.includes("rename") && line.includes('/config.json"')).length,
  };
};

test("a start writes config.json once and costs at most six fsyncs; one that was wished for already writes it not at all", async () => {
  await using daemon = await TestDaemon.start({});
  const { id } = await daemon.createFake();
  const first = await traced(daemon, () => daemon.start(id));
  expect(first.saves).toBe(1);
  expect(first.fsyncs.length).toBeGreaterThan(0);
  expect(first.fsyncs.length).toBeLessThanOrEqual(6);
  const stop = await traced(daemon, () => daemon.stop(id));
  expect(stop.saves).toBe(1);
  await daemon.start(id);
  const restart = await traced(daemon, () => daemon.request("POST", `/instances/${id}/restart`));
  expect(restart.saves).toBe(0);
});
