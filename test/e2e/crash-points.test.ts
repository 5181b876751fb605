import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Instance } from "../../src/contract/index.ts";
import { type Call, callsOf, killAt } from "../support/crash.ts";
import { TestDaemon } from "../support/daemon.ts";
import { expectNoRests, LogCheck, listOf, whenSettled } from "../support/invariants.ts";
import { until } from "../support/until.ts";

/**
 * The daemon is killed right before each call to the system by which an operation changes a file or
 * starts a process. The calls are not listed here: each operation is watched once, and then done
 * again for each call that it made, with death at that call. After each death the next daemon must
 * have lost nothing that was acknowledged, and finish or take back whatever was begun.
 */

setDefaultTimeout(240_000);

/** The same thread's third and later calls of one kind on one file bring nothing new; SOLAR_TEST_LONG=1 tries them too. */
const MOST_OF_A_KIND = process.env.SOLAR_TEST_LONG === undefined ? 2 : 1000;

interface Operation {
  prepare(daemon: TestDaemon): Promise<Instance>;
  /** Whether it was acknowledged. */
  act(daemon: TestDaemon, target: Instance): Promise<boolean>;
  /** What must be true of the target after the death, once nothing is under way any more. */
  holds(after: Instance | undefined, target: Instance, acknowledged: boolean): void;
}

const acknowledged = async (request: Promise<{ status: number }>): Promise<boolean> => {
  try {
    const { status } = await request;
    expect(status).toBe(200);
    return true;
  } catch (error) {
    if (!(error instanceof TypeError) && !("code" in (error as object))) throw error;
    // The daemon died before it answered.
    return false;
  }
};

const stopped = (daemon: TestDaemon): Promise<Instance> => daemon.createFake({}, { alias: "before" });

const started = async (daemon: TestDaemon): Promise<Instance> => {
  const { id } = await stopped(daemon);
  return (await daemon.start(id)).body.instance;
};

const renamed = (target: Instance) => ({ config: { ...target.config, alias: "after" } });

const operations: Record<string, Operation> = {
  create: {
    prepare: stopped,
    act: (daemon, target) =>
      acknowledged(
        daemon.request("POST", "/instances", { config: { ...target.config, alias: `child-of-${target.id}` } }),
      ),
    holds: (after) => expect(after?.config.alias).toBe("before"),
  },
  update: {
    prepare: stopped,
    act: (daemon, target) => acknowledged(daemon.request("PUT", `/instances/${target.id}`, renamed(target))),
    holds: (after, _, done) => expect(done ? ["after"] : ["before", "after"]).toContain(String(after?.config.alias)),
  },
  delete: {
    prepare: stopped,
    act: (daemon, target) => acknowledged(daemon.request("DELETE", `/instances/${target.id}`)),
    holds: (after, _, done) => {
      if (done) expect(after).toBeUndefined();
    },
  },
  start: {
    prepare: stopped,
    act: (daemon, target) => acknowledged(daemon.start(target.id)),
    holds: (after, _, done) => expect(done ? ["running"] : ["running", "stopped"]).toContain(String(after?.status)),
  },
  stop: {
    prepare: started,
    act: (daemon, target) => acknowledged(daemon.stop(target.id)),
    holds: (after, target, done) => {
      // One that was not stopped is the very process that it was: none is stopped and started again.
      if (done || after?.status !== "running") expect(after?.status).toBe("stopped");
      else expect([after.pid, after.started_at]).toEqual([target.pid, target.started_at]);
    },
  },
  restart: {
    prepare: started,
    act: (daemon, target) => acknowledged(daemon.request("POST", `/instances/${target.id}/restart`)),
    // It was to run all the while.
    holds: (after) => expect(after?.status).toBe("running"),
  },
  "crash of a model server": {
    prepare: started,
    act: async (daemon, target) => {
      process.kill(target.pid ?? 2 ** 30, "SIGKILL");
      return await until("another process", async () => {
        if (daemon.process.signalCode !== null) return "dead";
        const { status, pid } = await daemon.get(target.id).catch(() => target);
        return status === "running" && pid !== target.pid ? "again" : null;
      }).then((how) => how === "again");
    },
    holds: (after, target) => {
      expect(after?.status).toBe("running");
      expect(after?.pid).not.toBe(target.pid);
    },
  },
};

/** An instance that is left alone all the while, and writes lines. */
const startRock = async (daemon: TestDaemon) => {
  const { id } = await daemon.createFake({ lines: 1_000_000, rate: 50 }, { alias: "rock" });
  const { instance } = (await daemon.start(id)).body;
  const log = new LogCheck(id);
  return {
    id,
    check: async (next: TestDaemon): Promise<void> => {
      expect(await next.get(id)).toEqual(instance);
      expect((await fetch(`http://127.0.0.1:${instance.port}/health`)).status).toBe(200);
      await log.readOn(next);
      expect(log.numbers).toBeGreaterThan(0);
    },
  };
};

/** The names of a call's files that differ from one time to the next. */
const abstracted = (call: Call, pid: number, id: string): Call => ({
  ...call,
  path: call.path.replaceAll(`.${pid}.`, ".PID.").replaceAll(id, "ID"),
});
const concrete = (call: Call, pid: number, id: string): Call => ({
  ...call,
  path: call.path.replaceAll(".PID.", `.${pid}.`).replaceAll("ID", id),
});

/** What is saved in passing is saved. */
const whenSaved = (daemon: TestDaemon): Promise<unknown> =>
  until("the configuration to say what the list says", async () => {
    const statuses = (list: readonly { id?: unknown; status?: unknown }[]) =>
      JSON.stringify(list.map(({ id, status }) => [id, status]));
    return statuses(daemon.configFile().instances) === statuses(await listOf(daemon));
  });

const nextAfterDeathAt = async (
  daemon: TestDaemon,
  call: Call,
  operation: Operation,
  rock: Awaited<ReturnType<typeof startRock>>,
): Promise<{ next: TestDaemon; died: boolean }> => {
  const target = await operation.prepare(daemon);
  await whenSaved(daemon);
  const tracer = await killAt(daemon.process.pid, concrete(call, daemon.process.pid, target.id));
  const done = await operation.act(daemon, target);
  // Some calls come after the answer.
  if (done) await Promise.race([whenSaved(daemon).catch(() => undefined), daemon.process.exited]);
  else await daemon.process.exited;
  const died = daemon.process.signalCode !== null;
  await daemon.kill();
  await tracer.detach();
  const next = await daemon.again();
  const instances = await whenSettled(next);
  operation.holds(
    instances.find(({ id }) => id === target.id),
    target,
    done,
  );
  const child = instances.some(({ config }) => config.alias === `child-of-${target.id}`);
  if (operation === operations.create && done) expect(child).toBe(true);
  await rock.check(next);
  expectNoRests(next);
  for (const { id, status } of instances) {
    if (id === rock.id) continue;
    if (status !== "stopped") expect((await next.stop(id)).status).toBe(200);
    expect((await next.request("DELETE", `/instances/${id}`)).status).toBe(200);
  }
  return { next, died };
};

describe.skipIf(process.platform !== "linux").concurrent("a daemon that dies at any call of", () => {
  for (const [name, operation] of Object.entries(operations)) {
    test(`${name} loses nothing that was acknowledged, and finishes what was begun`, async () => {
      await using first = await TestDaemon.start({ env: { STOP_TIMEOUT: "3", HEALTH_INTERVAL: "0" } });
      let daemon = first;
      try {
        const rock = await startRock(daemon);
        const sample = await operation.prepare(daemon);
        await whenSaved(daemon);
        const calls = await callsOf(daemon.process.pid, daemon.dir, async () => {
          expect(await operation.act(daemon, sample)).toBe(true);
          await whenSaved(daemon);
        });
        const points = calls
          .map((call) => abstracted(call, daemon.process.pid, sample.id))
          // Names with a time in them are others the next time; what the rock writes is none of this operation.
          .filter(({ path, nth }) => !/\/(logs|index|states)\//.test(path) && nth <= MOST_OF_A_KIND);
        expect(points.map((point) => point.name)).toEqual(expect.arrayContaining(["write", "fsync", "rename"]));
        const missed: Call[] = [];
        for (const point of points) {
          const { next, died } = await nextAfterDeathAt(daemon, point, operation, rock).catch((error: Error) => {
            throw new Error(`${name}, killed before ${JSON.stringify(point)}: ${error.message}`, { cause: error });
          });
          daemon = next;
          if (!died) missed.push(point);
        }
        if (process.env.SOLAR_TEST_VERBOSE) console.log(name, points.length, "points, missed", JSON.stringify(missed));
        // Which thread writes a file is a matter of chance, so that only the first call is sure to be met.
        expect(missed.filter(({ nth }) => nth === 1)).toEqual([]);
      } finally {
        await daemon[Symbol.asyncDispose]();
      }
    });
  }
});
