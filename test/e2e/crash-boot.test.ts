import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance, LogLine } from "../../src/contract/index.ts";
import { type Call, CHANGING, callsIn, dyingAt, killAt, requireStrace } from "../support/crash.ts";
import { TestDaemon } from "../support/daemon.ts";
import { expectNoRests, LogCheck, whenSettled } from "../support/invariants.ts";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Deaths outside of any request: while the daemon comes up, while it ends, while it gives a log's head back. */

setDefaultTimeout(240_000);

const MOST_OF_A_KIND = process.env.SOLAR_TEST_LONG === undefined ? 5 : 100;

const env = { STOP_TIMEOUT: "3", HEALTH_INTERVAL: "0", LOG_MAX_MB: "1", START_WAIT: "20" };

const startFake = async (daemon: TestDaemon, faults: Record<string, unknown>, alias: string): Promise<Instance> => {
  const { id } = await daemon.createFake(faults, { alias });
  return (await daemon.start(id)).body.instance;
};

const killChild = async ({ pid }: Instance): Promise<void> => {
  process.kill(pid ?? 2 ** 30, "SIGKILL");
  await until("it to be gone", () => !isAlive(pid));
};

/**
 * Its files are named after the process, so that they are not known before it is there: a call is told by its kind and
 * by how many of that kind came before it. Writes are left out, since most are to no file.
 */
const pointsOf = (calls: readonly Call[]): Call[] => {
  const kinds = Map.groupBy(
    calls.filter(({ name }) => !/write/.test(name)),
    ({ name }) => name,
  );
  return [...kinds].flatMap(([name, { length }]) =>
    Array.from({ length: Math.min(length, MOST_OF_A_KIND) }, (_, n) => ({ name, path: "", nth: n + 1 })),
  );
};

/** A boot that may not come to its end. */
const boot = async (daemon: TestDaemon, under: string[]): Promise<TestDaemon | null> => {
  try {
    return await daemon.again({ under });
  } catch (error) {
    expect(String(error)).toContain("exited with SIGKILL");
    return null;
  }
};

describe.skipIf(process.platform !== "linux").concurrent("a daemon that dies", () => {
  test("at any call of its boot has lost nothing: the next one adopts what serves and starts what should run", async () => {
    await using first = await TestDaemon.start({ env });
    const serving = await startFake(first, { lines: 1_000_000, rate: 50 }, "serving");
    let dying = await startFake(first, {}, "dying");
    const log = new LogCheck(serving.id);
    const trace = join(tmpdir(), `solar-host-trace-${crypto.randomUUID()}`);
    let daemon = first;
    /** As a machine on which the daemon was killed, and one of its two model servers too. */
    const crash = async (): Promise<void> => {
      await daemon.kill();
      await killChild(dying);
    };
    try {
      await crash();
      const watched = [
        requireStrace(),
        "-D",
        "-f",
        "-y",
        "-s",
        "400",
        "-o",
        trace,
        "-e",
        `trace=${CHANGING.join(",")}`,
      ];
      daemon = await daemon.again({ under: watched });
      dying = await daemon.whenStatus(dying.id, "running");
      const points = pointsOf(callsIn(readFileSync(trace, "latin1"), daemon.dir));
      expect(points.map(({ name }) => name)).toEqual(expect.arrayContaining(["vfork", "unlink", "fsync", "rename"]));
      const missed: Call[] = [];
      for (const point of points) {
        await crash();
        const booted = await boot(daemon, dyingAt(point));
        if (booted !== null) {
          // It came up; the call may still come, when it starts what should run.
          await Promise.race([booted.whenStatus(dying.id, "running").catch(() => undefined), booted.process.exited]);
          if (booted.process.signalCode === null) missed.push(point);
          await booted.kill();
        }
        daemon = await daemon.again();
        const instances = await whenSettled(daemon);
        const after = instances.find(({ id }) => id === dying.id);
        expect([point, after?.status]).toEqual([point, "running"]);
        dying = after ?? dying;
        expect(instances.find(({ id }) => id === serving.id)).toEqual(serving);
        await log.readOn(daemon);
        expectNoRests(daemon);
      }
      if (process.env.SOLAR_TEST_VERBOSE) console.log("boot", points.length, "points, missed", JSON.stringify(missed));
      // Several threads share the calls of a kind, so that none of them may come to its last ones.
      expect(missed.filter(({ nth }) => nth === 1)).toEqual([]);
      expect(log.numbers).toBeGreaterThan(0);
    } finally {
      rmSync(trace, { force: true });
      await daemon[Symbol.asyncDispose]();
    }
  });

  test("while it ends leaves no unknown process: the next one starts again what ran", async () => {
    await using first = await TestDaemon.start({ env });
    let daemon = first;
    try {
      const ran = await startFake(daemon, {}, "ran");
      const rested = await daemon.createFake({}, { alias: "rested" });
      const records = join(daemon.dir, ".solar-host/instances");
      const points = (pid: number): Call[] => [
        { name: "write", path: join(records, `${ran.id}.launch.json.${pid}.tmp`), nth: 1 },
        { name: "rename", path: join(records, `${ran.id}.launch.json.${pid}.tmp`), nth: 1 },
        // config.json is not among them: what should be was stored when it was asked for.
        { name: "unlink", path: join(records, `${ran.id}.launch.json`), nth: 1 },
      ];
      for (let n = 0; n < points(0).length; n++) {
        const point = points(daemon.process.pid)[n] as Call;
        const tracer = await killAt(daemon.process.pid, point);
        daemon.process.kill("SIGTERM");
        await daemon.process.exited;
        expect([point, daemon.process.signalCode]).toEqual([point, "SIGKILL"]);
        await tracer.detach();
        daemon = await daemon.again();
        const instances = await whenSettled(daemon);
        expect(instances.map(({ id, status }) => [id, status])).toEqual([
          [ran.id, "running"],
          [rested.id, "stopped"],
        ]);
        expectNoRests(daemon);
      }
    } finally {
      await daemon[Symbol.asyncDispose]();
    }
  });

  test("while it gives the head of a log back loses no line that is still to be held, and no number", async () => {
    await using first = await TestDaemon.start({ env });
    let daemon = first;
    try {
      const { id, port, log_file: file } = await startFake(daemon, {}, "talker");
      const records = join(daemon.dir, ".solar-host/instances");
      const points = (pid: number): Call[] => [
        ...["write", "fsync", "rename"].map((name) => ({
          name,
          path: join(records, `${id}.log.json.${pid}.tmp`),
          nth: 1,
        })),
        { name: "fsync", path: records, nth: 1 },
        { name: "fallocate", path: String(file), nth: 1 },
        { name: "write", path: join(daemon.dir, ".solar-host/index", `${String(file).split("/").at(-1)}.idx`), nth: 1 },
      ];
      let known: LogLine[] = [];
      for (let n = 0; n < points(0).length; n++) {
        const point = points(daemon.process.pid)[n] as Call;
        const tracer = await killAt(daemon.process.pid, point);
        // More than the file may hold, so that its head goes each time.
        const answer = await fetch(`http://127.0.0.1:${port}/write?lines=24000&bytes=64`, {
          method: "POST",
          headers: { Authorization: "Bearer instance-key" },
        });
        const { last } = (await answer.json()) as { last: number };
        await daemon.process.exited;
        expect([point, daemon.process.signalCode]).toEqual([point, "SIGKILL"]);
        await tracer.detach();
        daemon = await daemon.again();
        const text = `line ${String(last).padStart(6, "0")}`;
        const newest = await until("the last line", async () => {
          const lines = await daemon.logs(id, "?tail=10000&limit=10000");
          return lines.at(-1)?.line.startsWith(text) ? lines : null;
        });
        expect(newest.length).toBe(10_000);
        const offset = (newest.at(-1)?.seq ?? 0) - last;
        const wrong = newest.find(({ seq, line }, at) => {
          return seq !== (newest[0]?.seq ?? 0) + at || Number(line.slice(5, 11)) !== seq - offset;
        });
        expect(wrong).toBeUndefined();
        // A line keeps its number over all of them.
        const before = known.at(-1);
        if (before !== undefined) expect(before.seq - Number(before.line.slice(5, 11))).toBe(offset);
        known = newest;
      }
    } finally {
      await daemon[Symbol.asyncDispose]();
    }
  });
});
