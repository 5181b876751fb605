import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Instance } from "../../src/contract/index.ts";
import { TestDaemon } from "../support/daemon.ts";
import { listOf } from "../support/invariants.ts";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Model servers that are at work and silent, and more of them to start than the machine can load at once. */

setDefaultTimeout(120_000);

const modelOf = ({ config }: Instance): string => ("model" in config ? config.model : "");

/** What its next start is to do wrong. */
const nextTime = (instance: Instance, fault: Record<string, unknown>): void =>
  writeFileSync(modelOf(instance), JSON.stringify(fault));

const whenTold = (daemon: TestDaemon, id: string, text: string): Promise<Instance> =>
  until(`to be told "${text}"`, async () => {
    const instance = await daemon.get(id);
    return instance.error_message?.includes(text) ? instance : null;
  });

const whenReplaced = (daemon: TestDaemon, { id, pid }: Instance): Promise<Instance> =>
  until("another process", async () => {
    const instance = await daemon.get(id);
    return instance.status === "running" && instance.pid !== pid ? instance : null;
  });

describe.concurrent("a model server that does not answer any more", () => {
  const start = async (daemon: TestDaemon, fault: Record<string, unknown>): Promise<Instance> => {
    const { id } = await daemon.createFake(fault);
    const { instance } = (await daemon.start(id)).body;
    nextTime(instance, {});
    return instance;
  };

  test("but writes its log is at work: that is told, and it is left alone", async () => {
    await using daemon = await TestDaemon.start({ env: { HEALTH_INTERVAL: "1", HANG_TIMEOUT: "600" } });
    const instance = await start(daemon, { hangAfterReady: true, lines: 100_000, rate: 50 });
    const told = await whenTold(daemon, instance.id, "is at work; it is left alone for at most 600 s");
    expect(told).toMatchObject({ status: "running", pid: instance.pid });
    expect((await daemon.state(instance.id)).busy).toBe(false);
    // Its log goes on for as long as it would take to call it hung several times.
    const { length } = await daemon.logs(instance.id, "?after=-1&limit=10000");
    await until("more lines", async () => {
      return (await daemon.logs(instance.id, "?after=-1&limit=10000")).length > length + 150;
    });
    expect(await daemon.get(instance.id)).toMatchObject({ status: "running", pid: instance.pid, retry_count: 0 });
  });

  test("and writes its log for ever is restarted after HANG_TIMEOUT", async () => {
    await using daemon = await TestDaemon.start({
      env: { HEALTH_INTERVAL: "0.3", HANG_TIMEOUT: "3", STOP_TIMEOUT: "1" },
    });
    const instance = await start(daemon, { hangAfterReady: true, lines: 100_000, rate: 50 });
    const restarted = await whenTold(daemon, instance.id, "crash 1 of 5");
    expect(restarted.error_message).toContain("has been at work without an answer for");
    await whenReplaced(daemon, instance);
    expect(isAlive(instance.pid)).toBe(false);
  });

  test("while a slot is at work is restarted after HANG_TIMEOUT too", async () => {
    await using daemon = await TestDaemon.start({
      env: { HEALTH_INTERVAL: "0.3", HANG_TIMEOUT: "3", STOP_TIMEOUT: "1" },
    });
    const instance = await start(daemon, { tokens: 10_000, tokenMs: 20 });
    const post = (path: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${instance.port}${path}`, {
        method: "POST",
        headers: { Authorization: "Bearer instance-key" },
        body: JSON.stringify({ messages: [{ role: "user", content: "x" }], stream: true }),
      });
    const generation = post("/v1/chat/completions").then((answer) => answer.text().catch(() => ""));
    await until("it to be at work", async () => (await daemon.state(instance.id)).busy);
    const hanging = post("/hang").catch(() => undefined);
    await whenTold(daemon, instance.id, "is at work; it is left alone for at most 3 s");
    await whenReplaced(daemon, instance);
    expect((await daemon.state(instance.id)).busy).toBe(false);
    await Promise.all([generation.catch(() => ""), hanging]);
  });

  test("in a slot, though its health check does, is restarted after HANG_TIMEOUT; one that gets on is not", async () => {
    await using daemon = await TestDaemon.start({
      env: { HEALTH_INTERVAL: "0.3", HANG_TIMEOUT: "2", STOP_TIMEOUT: "1" },
    });
    const ask = ({ port }: Instance): Promise<unknown> =>
      fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: "POST",
        headers: { Authorization: "Bearer instance-key" },
        body: JSON.stringify({ messages: [{ role: "user", content: "x" }], stream: true }),
      })
        .then((answer) => answer.text())
        .catch(() => undefined);
    const working = await start(daemon, { tokens: 1000, tokenMs: 100 });
    const stuck = await start(daemon, { tokens: 2, tokenMs: 3_600_000 });
    const asked = [ask(working), ask(stuck)];
    await whenReplaced(daemon, stuck);
    expect(daemon.stderr).toContain("has not got on with its work for");
    expect(await daemon.get(working.id)).toMatchObject({ status: "running", pid: working.pid });
    expect((await daemon.state(working.id)).busy).toBe(true);
    await daemon.end();
    await Promise.all(asked);
  });

  test("is left alone where HEALTH_INTERVAL is 0", async () => {
    await using daemon = await TestDaemon.start({ env: { HEALTH_INTERVAL: "0", HANG_TIMEOUT: "1" } });
    await using asked = await TestDaemon.start({ env: { HEALTH_INTERVAL: "0.3", STOP_TIMEOUT: "1" } });
    const [left, found] = await Promise.all([
      start(daemon, { hangAfterReady: true }),
      start(asked, { hangAfterReady: true }),
    ]);
    // By the time another daemon has noticed, this one would have, too.
    await whenReplaced(asked, found);
    expect(await daemon.get(left.id)).toMatchObject({ status: "running", pid: left.pid, error_message: null });
  });
});

describe("a boot with more models than MAX_PARALLEL_STARTS", () => {
  test("loads the most urgent first, equals as they stand in the file, and listens meanwhile", async () => {
    await using first = await TestDaemon.start({ env: { MAX_PARALLEL_STARTS: "1", STOP_TIMEOUT: "1" } });
    const priorities = [0, 5, -3, 5, 1];
    const created: Instance[] = [];
    for (const [n, priority] of priorities.entries()) {
      created.push(await first.createFake({ readyAfterMs: 250 }, { alias: `priority ${priority}, ${n}`, priority }));
    }
    await Promise.all(created.map(({ id }) => first.start(id)));
    const serving = await listOf(first);
    expect(serving.map(({ status }) => status)).toEqual(Array(5).fill("running"));
    // As after a crash of the machine: nothing runs any more.
    await first.kill();
    for (const { pid } of serving) process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("all to be gone", () => !serving.some(({ pid }) => isAlive(pid)));
    await using next = await first.again();
    let most = 0;
    const running = await until("all to run", async () => {
      const instances = await listOf(next);
      most = Math.max(most, instances.filter(({ status, pid }) => status === "starting" && pid !== null).length);
      return instances.every(({ status }) => status === "running") ? instances : null;
    });
    expect(most).toBe(1);
    const order = running
      .toSorted((a, b) => String(a.started_at).localeCompare(String(b.started_at)))
      .map(({ config }) => config.alias);
    expect(order).toEqual(["priority 5, 1", "priority 5, 3", "priority 1, 4", "priority 0, 0", "priority -3, 2"]);
  });
});

describe("starts with MAX_PARALLEL_STARTS", () => {
  test("that wait get their turn by priority, not by when they were asked for", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_PARALLEL_STARTS: "1", STOP_TIMEOUT: "1" } });
    const loading = await daemon.createFake({ readyAfterMs: 1500 }, { alias: "loading" });
    const others: Instance[] = [];
    for (const priority of [-1, 0, 7]) {
      others.push(await daemon.createFake({ readyAfterMs: 50 }, { alias: `priority ${priority}`, priority }));
    }
    await daemon.start(loading.id, 0);
    await until("the first to load", async () => (await daemon.get(loading.id)).pid);
    for (const { id } of others) expect((await daemon.start(id, 0)).body.instance.status).toBe("starting");
    const running = await Promise.all(others.map(({ id }) => daemon.whenStatus(id, "running")));
    const order = running
      .toSorted((a, b) => String(a.started_at).localeCompare(String(b.started_at)))
      .map(({ config }) => config.alias);
    expect(order).toEqual(["priority 7", "priority 0", "priority -1"]);
  });
});
