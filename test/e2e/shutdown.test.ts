import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { isAlive, modelServersOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Ends that meet each other: a stop and the daemon's own end, a start behind a stop, a hang. */

setDefaultTimeout(60_000);

/** What a model server writes that was not killed. */
const LEFT = "fake: left by itself";

describe.concurrent("the daemon's end", () => {
  test("is no second stop: a server that is being stopped keeps its grace time", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "20" } });
    const { id } = await daemon.createFake({ sigtermDelayMs: 1500 });
    const { instance } = (await daemon.start(id)).body;
    const stopped = daemon.stop(id).catch(() => undefined);
    await daemon.whenStatus(id, "stopping");
    expect(await daemon.end()).toBe(0);
    expect(readFileSync(String(instance.log_file), "utf8")).toContain(LEFT);
    await stopped;
  });

  test("with its models left running is hurried by a second signal, whatever a stop still waits for", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "3600" }, args: ["--keep-instances"] });
    const { id } = await daemon.createFake({ ignoreSigterm: true });
    await daemon.start(id);
    const stopped = daemon.stop(id).catch(() => undefined);
    await daemon.whenStatus(id, "stopping");
    daemon.process.kill("SIGTERM");
    await until("the first to be heard", () => daemon.stderr.includes("leaving the instances running"));
    expect(await daemon.hurry()).toBe(0);
    await stopped;
  });

  test("with its models left running is told to those that wait for one", async () => {
    await using daemon = await TestDaemon.start({ args: ["--keep-instances"] });
    const { id } = await daemon.createFake({ neverReady: true });
    const waiting = daemon.start(id, 600);
    waiting.catch(() => undefined);
    await until("its process", async () => (await daemon.get(id)).pid);
    expect(await daemon.end()).toBe(0);
    const { status, body } = await waiting;
    expect([status, body.detail]).toEqual([409, "The start was overtaken by the end of the daemon"]);
    await using next = await daemon.again({ args: [] });
    expect((await next.get(id)).status).toBe("starting");
  });

  test("is hurried by a second signal in what is left of one that failed, too", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "3600", MAX_RETRIES: "1" } });
    const { id } = await daemon.createFake({ ignoreSigterm: true, noBind: true });
    await daemon.start(id, 0);
    // It writes after it has begun to ignore the signal.
    await until("its log", async () => (await daemon.logs(id)).length > 0);
    const { port } = await daemon.get(id);
    // Another program's answer is none of the model's: that has failed, though its process is still there.
    using _ = Bun.serve({ port: port as number, hostname: "127.0.0.1", fetch: () => new Response("ok") });
    await daemon.whenStatus(id, "failed");
    daemon.process.kill("SIGTERM");
    await until("the first to be heard", () => daemon.stderr.includes("stopping every instance"));
    expect(await daemon.hurry()).toBe(0);
    expect(modelServersOf(daemon.dir)).toEqual([]);
  });

  // As systemd and runners send them. Two of one name, as `timeout` sends them, may become one before they arrive.
  test.each([
    ["SIGTERM", "SIGHUP"],
    ["SIGTERM", "SIGINT"],
  ] as const)("asked for by %s and %s at once is one request: a server keeps its grace time", async (first, second) => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "20" } });
    const { id } = await daemon.createFake({ sigtermDelayMs: 1500 });
    const { instance } = (await daemon.start(id)).body;
    daemon.process.kill(first);
    daemon.process.kill(second);
    expect(await daemon.process.exited).toBe(0);
    expect(readFileSync(String(instance.log_file), "utf8")).toContain(LEFT);
    expect(daemon.stderr).not.toContain("again: ending at once");
  });
});

describe.skipIf(process.platform !== "linux")("a signal that comes while a daemon boots", () => {
  test("ends it as one that comes later does, with what it was just taking over", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { pid, port, log_file } = (await daemon.start(id)).body.instance;
    await daemon.kill();
    // So much to read that the next one is still at it when it is found to have opened the file.
    await fetch(`http://127.0.0.1:${port}/write?lines=1000000&bytes=100`, {
      method: "POST",
      headers: { Authorization: "Bearer instance-key" },
    });
    const next = daemon.again().catch((error: Error) => error);
    const booting = await until("the next daemon to read the log", () =>
      readdirSync("/proc").find((process) => opens(process, "solar-host", String(log_file))),
    );
    process.kill(Number(booting), "SIGTERM");
    await until("both to be gone", () => !isAlive(Number(booting)) && !isAlive(pid));
    const outcome = await next;
    if (!(outcome instanceof Error)) expect(await outcome.process.exited).toBe(0);
    else expect(outcome.message).toContain("the daemon exited with 0");
  });
});

/** Whether that process is a program of this name and has the file open. */
const opens = (pid: string, name: string, path: string): boolean => {
  try {
    if (!/^\d+$/.test(pid) || readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== name) return false;
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path);
  } catch {
    return false;
  }
};

describe.concurrent("a server that is asked to end", () => {
  test("keeps a start that comes meanwhile waiting no longer than that was told to", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "20" } });
    const { id } = await daemon.createFake({ sigtermDelayMs: 2000 });
    const { instance } = (await daemon.start(id)).body;
    const stopped = daemon.stop(id);
    await daemon.whenStatus(id, "stopping");
    const early = await daemon.start(id, 0);
    expect([early.status, early.body.instance.status]).toEqual([200, "stopping"]);
    expect((await stopped).status).toBe(200);
    const again = await daemon.whenStatus(id, "running");
    expect(again.pid).not.toBe(instance.pid);
  });

  test("because it hangs has the whole grace time to do so", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "20", HEALTH_INTERVAL: "0.2" } });
    const { id } = await daemon.createFake({ hangAfterReady: true, sigtermDelayMs: 2500 });
    const { instance } = (await daemon.start(id)).body;
    await until("another process", async () => {
      const { pid } = await daemon.get(id);
      return pid !== null && pid !== instance.pid;
    });
    expect(readFileSync(String(instance.log_file), "utf8")).toContain(LEFT);
  });

  test("does not leave its state busy by what it wrote last", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { instance } = (await daemon.start(id)).body;
    const last = "slot launch_slot_: id  0 | task 7 | processing task";
    // So much that it is still to be read when the server has gone.
    await fetch(`http://127.0.0.1:${instance.port}/write?lines=0`, {
      method: "POST",
      headers: { Authorization: "Bearer instance-key" },
      body: `${`${"x".repeat(100)}\n`.repeat(200_000)}${last}\n`,
    });
    await daemon.stop(id);
    expect(await daemon.state(id)).toMatchObject({ busy: false, phase: "idle", active_slots: 0 });
    expect((await daemon.logs(id, "?tail=10")).map(({ line }) => line).join("\n")).toContain(last);
  });
});

test("a start that waits its turn when the daemon ends begins nothing: neither one of the boot nor one that is asked for", async () => {
  await using first = await TestDaemon.start({ env: { STOP_TIMEOUT: "5" } });
  const { id } = await first.createFake();
  await first.start(id);
  await first.end();
  let daemon = first;
  for (let round = 0; round < 10; round++) {
    daemon = await daemon.again();
    const started = Promise.all([daemon.start(id), daemon.request("POST", `/instances/${id}/restart`)]).catch(
      () => undefined,
    );
    // At another moment of the start each time.
    for (let turn = 0; turn < round * 3; turn++)
      await daemon.request("GET", "/health", undefined, {}).catch(() => undefined);
    expect(await daemon.end()).toBe(0);
    await started;
    expect(modelServersOf(daemon.dir)).toEqual([]);
  }
});

test("the daemon's log says what asked for a start and a stop: a program by its name, the boot, the daemon's end", async () => {
  await using daemon = await TestDaemon.start();
  const { id } = await daemon.createFake();
  const ask = (verb: string, agent: string) =>
    fetch(`${daemon.url}/instances/${id}/${verb}`, {
      method: "POST",
      headers: { "X-API-Key": KEY, "User-Agent": agent },
    });
  await ask("start", "curl/8.5.0");
  await ask("stop", "solar-control/2.1");
  await ask("start", "x".repeat(500));
  await daemon.end();
  await until("all of the log", () => daemon.stderr.includes("ended"));
  expect(daemon.stderr).toContain("asked to start by owner (curl/8.5.0)");
  expect(daemon.stderr).toContain("asked to stop by owner (solar-control/2.1)");
  expect(daemon.stderr).toContain(`owner (${"x".repeat(60)})`);
  expect(daemon.stderr).toContain("asked to stop by the end of the daemon");
  await using next = await daemon.again();
  await next.whenStatus(id, "running");
  expect(next.stderr).toContain("asked to start by the boot");
});
