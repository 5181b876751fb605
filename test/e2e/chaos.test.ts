import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ChaosClient, ChaosFollower, type Promised, type Random } from "../support/chaos.ts";
import { TestDaemon } from "../support/daemon.ts";
import {
  expectNoRests,
  expectOwnPorts,
  expectSound,
  LifeCheck,
  LogCheck,
  listOf,
  whenSettled,
} from "../support/invariants.ts";
import { modelOf, modelServersOf, processesIn } from "../support/processes.ts";
import { below, seeded } from "../support/random.ts";
import { until } from "../support/until.ts";

/**
 * Anything at any time: clients, deaths of the daemon, deaths of model servers. What each answer promised must hold,
 * and at no time does an instance have two processes, or two instances one port.
 *
 * SOLAR_TEST_SEED repeats a run (as far as time lets it), SOLAR_TEST_CHAOS_S says how many seconds it takes: two minutes
 * with SOLAR_TEST_LONG=1.
 */

const SECONDS = Number(process.env.SOLAR_TEST_CHAOS_S ?? (process.env.SOLAR_TEST_LONG === undefined ? 12 : 120));
const SEED = Number(process.env.SOLAR_TEST_SEED ?? Date.now() % 1_000_000);
const CLIENTS = 4;

setDefaultTimeout(SECONDS * 1000 + 120_000);

const env = {
  STOP_TIMEOUT: "1",
  HEALTH_INTERVAL: "0",
  LOG_KEEP_FILES: "10000",
  LOG_BUFFER_SIZE: "50",
  MAX_PARALLEL_STARTS: "3",
};

/** Kills and ends the daemon, and its model servers, until it is over. */
const killAll = async (arena: { daemon: TestDaemon; over: boolean }, random: Random, tally: Record<string, number>) => {
  const count = (what: string): void => {
    tally[what] = (tally[what] ?? 0) + 1;
  };
  while (!arena.over) {
    await Bun.sleep(100 + below(random, 900));
    const dice = random();
    if (dice < 0.35) {
      const servers = modelServersOf(arena.daemon.dir);
      const pid = servers[below(random, Math.max(1, servers.length))];
      if (pid === undefined) continue;
      try {
        process.kill(pid, random() < 0.8 ? "SIGKILL" : "SIGTERM");
        count("model servers killed");
      } catch {
        // It was being ended anyway.
      }
      continue;
    }
    if (dice < 0.85) {
      await arena.daemon.kill();
      count("daemons killed");
    } else {
      await arena.daemon.end();
      count("daemons ended");
    }
    await Bun.sleep(below(random, 200));
    arena.daemon = await arena.daemon.again({ env: { ...env, KEEP_INSTANCES: random() < 0.5 ? "true" : "false" } });
  }
};

/** Looks on all the while. */
const watch = async (arena: { daemon: TestDaemon; over: boolean }): Promise<number> => {
  let looks = 0;
  let daemon = arena.daemon;
  let lives = new LifeCheck();
  while (!arena.over) {
    const models = modelServersOf(arena.daemon.dir)
      .map(modelOf)
      .filter((model) => model !== null);
    const twice = models.find((model, n) => models.indexOf(model) !== n);
    if (twice !== undefined) throw new Error(`two processes serve ${twice}`);
    if (daemon !== arena.daemon) {
      // A stop that was not answered yet may be forgotten with the daemon.
      daemon = arena.daemon;
      lives = new LifeCheck();
    }
    const instances = await listOf(daemon).catch(() => null);
    if (instances !== null) {
      expectSound(instances);
      lives.take(instances);
    }
    await expectOwnPorts(daemon.dir, instances ?? []);
    looks += 1;
    await Bun.sleep(15);
  }
  return looks;
};

const expectKept = async (daemon: TestDaemon, promised: readonly Promised[]): Promise<void> => {
  const instances = await listOf(daemon);
  for (const { id, alias, desired, exists, steady } of promised) {
    const instance = instances.find((one) => one.id === id);
    if (exists !== null) expect([id, instance !== undefined]).toEqual([id, exists]);
    if (instance === undefined) continue;
    if (alias !== null) expect([id, instance.config.alias]).toEqual([id, alias]);
    if (desired === "stopped") expect([id, instance.status]).toEqual([id, "stopped"]);
    if (desired === "running" && steady) expect([id, instance.status]).toEqual([id, "running"]);
    if (desired === "running" && !steady) expect([id, instance.status]).not.toEqual([id, "stopped"]);
  }
};

describe.skipIf(process.platform !== "linux")("whatever happens", () => {
  test(`every promise is kept, each line has its number, and nothing is left over (seed ${SEED}, ${SECONDS} s)`, async () => {
    await using first = await TestDaemon.start({ env });
    const arena = { daemon: first, over: false };
    const tally: Record<string, number> = {};
    const clients = Array.from(
      { length: CLIENTS },
      (_, n) => new ChaosClient(`client${n}`, arena, seeded(SEED * 100 + n), 3),
    );
    const followers: ChaosFollower[] = [];
    const followAll = async (): Promise<void> => {
      const following = new Map<string, Promise<void>>();
      while (!arena.over) {
        for (const { id } of clients.flatMap(({ promised }) => promised)) {
          if (following.has(id)) continue;
          const follower = new ChaosFollower(id, arena);
          followers.push(follower);
          following.set(id, follower.run());
        }
        await Bun.sleep(50);
      }
      await Promise.all(following.values());
    };
    const actors = [
      ...clients.map((client) => client.run()),
      killAll(arena, seeded(SEED * 100 + 99), tally),
      watch(arena).then((looks) => expect(looks).toBeGreaterThan(SECONDS)),
      followAll(),
    ];
    try {
      // Whatever goes wrong first ends it.
      await Promise.race([Bun.sleep(SECONDS * 1000), ...actors]);
    } catch (error) {
      console.log(`chaos: seed ${SEED}; the daemon had said:\n${arena.daemon.stderr.slice(-20_000)}`);
      throw error;
    } finally {
      arena.over = true;
    }
    try {
      await Promise.all(actors);
      const { daemon } = arena;
      const promised = clients.flatMap((client) => client.promised);
      // One that always crashes would be started again for a long time yet.
      for (const one of promised.filter(({ steady, exists }) => !steady && exists !== false)) {
        if ((await daemon.stop(one.id)).status === 200) one.desired = "stopped";
      }
      await whenSettled(daemon);
      await expectKept(daemon, promised);
      expect(followers.map(({ problem }) => problem).filter((problem) => problem !== null)).toEqual([]);
      for (const { id } of await listOf(daemon)) await new LogCheck(id).readOn(daemon);
      for (const { id } of await listOf(daemon)) expect((await daemon.stop(id)).status).toBe(200);
      await until("nothing to be left", () => processesIn(daemon.dir).join() === String(daemon.process.pid));
      expectNoRests(daemon);
      tally.operations = clients.reduce((sum, client) => sum + client.operations, 0);
      tally.lines = followers.reduce((sum, follower) => sum + follower.next, 0);
      tally.instances = promised.length;
      console.log(`chaos: seed ${SEED}, ${JSON.stringify(tally)}`);
      expect(tally.operations).toBeGreaterThan(SECONDS * 2);
      expect(tally.lines).toBeGreaterThan(0);
      expect(tally["daemons killed"] ?? 0).toBeGreaterThan(0);
    } finally {
      await arena.daemon[Symbol.asyncDispose]();
    }
  });
});
