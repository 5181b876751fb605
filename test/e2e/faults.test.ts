import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { EventFrame, Instance } from "../../src/contract/index.ts";
import { type DaemonOptions, TestDaemon } from "../support/daemon.ts";
import { fakeServer } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** What model servers do wrong, and what the daemon makes of it. Each test has a daemon of its own. */

setDefaultTimeout(60_000);

const start = (env: Record<string, string> = {}, options: DaemonOptions = {}): Promise<TestDaemon> =>
  TestDaemon.start({ ...options, env: { STOP_TIMEOUT: "10", ...env } });

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A zombie has ended; who has to wait for it is another matter.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** The pid that the fake's log tells of one of its processes. */
const pidInLog = async (daemon: TestDaemon, id: string, name: string): Promise<number> =>
  until(`the pid of the ${name}`, async () => {
    const line = (await daemon.logs(id, "?after=-1")).find((entry) => entry.line.includes(`fake: ${name} pid `));
    return line === undefined ? null : Number(/pid (\d+)/.exec(line.line)?.[1]);
  });

/** From its next start on the instance has another fault. What was said of a crash stays until that start is ready. */
const nextTime = async (instance: Instance, fault: Record<string, unknown>): Promise<void> => {
  if ("model" in instance.config) await Bun.write(instance.config.model, JSON.stringify(fault));
};

const whenTold = (daemon: TestDaemon, id: string): Promise<Instance> =>
  until("somebody to be told", async () => {
    const instance = await daemon.get(id);
    return instance.error_message === null ? null : instance;
  });

const startsOf = (counterFile: string): number => statSync(counterFile, { throwIfNoEntry: false })?.size ?? 0;

/** Seconds that something took. */
const seconds = async (work: Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await work;
  return (performance.now() - began) / 1000;
};

const waitForLog = (daemon: TestDaemon, id: string, text: string): Promise<unknown> =>
  until(`"${text}" in the log`, async () =>
    (await daemon.logs(id, "?after=-1")).some(({ line }) => line.includes(text)),
  );

describe.concurrent("a start", () => {
  test("that never gets ready can be stopped, and is stopped at once", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ neverReady: true });
    const started = await daemon.start(id, 0);
    expect(started.body.instance.status).toBe("starting");
    await waitForLog(daemon, id, "loading model");
    expect(await seconds(daemon.stop(id))).toBeLessThan(5);
    expect(await daemon.get(id)).toMatchObject({ status: "stopped", pid: null, port: null });
  });

  test("of a server that never listens can be stopped too", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ noBind: true });
    expect((await daemon.start(id, 0.3)).body.instance.status).toBe("starting");
    expect((await daemon.stop(id)).body.instance.status).toBe("stopped");
  });

  test("whose server exits is tried MAX_RETRIES times in all, then failed with code and last words", async () => {
    await using daemon = await start({ MAX_RETRIES: "3" });
    const counterFile = join(daemon.dir, "starts");
    const { id } = await daemon.createFake({ exitCode: 5, lastWords: "error: out of patience", counterFile });
    const { status, body } = await daemon.start(id);
    expect(status).toBe(500);
    expect(body.detail).toStartWith("Failed to start instance: the model server exited with code 5: ");
    expect(body.detail).toContain("out of patience");
    expect(startsOf(counterFile)).toBe(3);
    expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 3 });
    // The next start has all its attempts again.
    await daemon.start(id);
    expect(startsOf(counterFile)).toBe(6);
  });

  test("that fails first and then works, works", async () => {
    await using daemon = await start({ MAX_RETRIES: "3" });
    const { id } = await daemon.createFake({ exitCode: 5, failFirst: 2 });
    const { status, body } = await daemon.start(id);
    expect([status, body.instance?.status]).toEqual([200, "running"]);
    expect(body.instance).toMatchObject({ error_message: null, retry_count: 0 });
  });

  test("says between two attempts what happened and when the next one comes; a stop ends the wait", async () => {
    await using daemon = await start({ MAX_RETRIES: "8" });
    const counterFile = join(daemon.dir, "starts");
    const { id } = await daemon.createFake({ exitCode: 5, counterFile });
    const started = daemon.start(id);
    // By the fourth attempt the pause is 4 s.
    const waiting = await until("a long pause", async () => {
      const instance = await daemon.get(id);
      return instance.error_message?.startsWith("attempt 4 of 8 failed") ? instance : null;
    });
    expect(waiting).toMatchObject({ status: "starting", pid: null, port: null, retry_count: 4 });
    expect(waiting.error_message).toMatch(/exited with code 5.*; next attempt in [34]\.\d s, at \d{4}-.*Z$/);
    expect(await seconds(daemon.stop(id))).toBeLessThan(2);
    expect((await started).status).toBe(409);
    const count = startsOf(counterFile);
    await Bun.sleep(500);
    expect([startsOf(counterFile), (await daemon.get(id)).status]).toEqual([count, "stopped"]);
  });

  test("of a server that dies of a signal names it", async () => {
    await using daemon = await start({ MAX_RETRIES: "1" });
    const { id } = await daemon.createFake({ signalSelf: "SIGSEGV" });
    expect((await daemon.start(id)).body.detail).toStartWith(
      "Failed to start instance: the model server was killed by SIGSEGV",
    );
  });

  test("without a llama-server says where it was looked for, and is not tried again", async () => {
    await using daemon = await start({}, { llamaServer: "/no/such/llama-server" });
    const { id } = await daemon.createFake();
    const { status, body } = await daemon.start(id);
    const place = "LLAMA_SERVER names it (in .env or the environment, or with serve --llama-server)";
    expect([status, body.detail]).toEqual([
      500,
      `Failed to start instance: llama-server not found: no such file: '/no/such/llama-server'; ${place}`,
    ]);
    expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 1 });
    expect((await daemon.get(id)).log_file).toBeNull();
  });
});

describe.concurrent("ports", () => {
  test("of two, or ten, instances that start at the same moment differ", async () => {
    await using daemon = await start();
    const created = await Promise.all(Array.from({ length: 10 }, () => daemon.createFake()));
    const answers = await Promise.all(created.map(({ id }) => daemon.start(id)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(new Set(answers.map(({ body }) => body.instance.port)).size).toBe(10);
    expect(new Set(answers.map(({ body }) => body.instance.pid)).size).toBe(10);
  });

  test("that another program listens on are passed over", async () => {
    await using daemon = await start();
    const first = (await daemon.start((await daemon.createFake()).id)).body.instance.port ?? 0;
    const other = Bun.listen({ hostname: "127.0.0.1", port: first + 1, socket: { data: () => undefined } });
    try {
      const { body } = await daemon.start((await daemon.createFake()).id);
      expect(body.instance.status).toBe("running");
      expect(body.instance.port).toBeGreaterThan(first + 1);
    } finally {
      other.stop(true);
    }
  });

  test("shared by a stranger (SO_REUSEPORT): its answers are not taken for ours", async () => {
    await using daemon = await start({ MAX_RETRIES: "1" });
    const { id } = await daemon.createFake({ reusePort: true, neverReady: true });
    await daemon.start(id, 0);
    const { port } = await until("a port", async () => {
      const instance = await daemon.get(id);
      return instance.port === null ? null : instance;
    });
    // Ours listens: before that the stranger would only be one who came first.
    await until("an answer", async () => (await fetch(`http://127.0.0.1:${port}/health`)).status === 503);
    const model = join(daemon.dir, "stranger.json");
    await Bun.write(model, '{"reusePort": true}');
    const stranger = Bun.spawn([fakeServer, "--model", model, "--port", String(port), "--host", "127.0.0.1"], {
      stdout: "ignore",
      stderr: "ignore",
    });
    try {
      // The kernel gives each of both a part of the connections.
      const failed = await daemon.whenStatus(id, "failed");
      expect(failed.error_message).toBe(`address in use: another program answers on port ${port}`);
      expect(failed.pid).toBeNull();
    } finally {
      stranger.kill();
      await stranger.exited;
    }
  });

  test("are given back: starts do not wander off", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake();
    const ports = new Set<number | null>();
    for (let round = 0; round < 5; round++) {
      ports.add((await daemon.start(id)).body.instance.port);
      await daemon.stop(id);
    }
    expect(ports.size).toBe(1);
  });
});

describe.concurrent("a stop", () => {
  test("of a server that ignores SIGTERM comes to SIGKILL after STOP_TIMEOUT", async () => {
    await using daemon = await start({ STOP_TIMEOUT: "1" });
    const { id } = await daemon.createFake({ ignoreSigterm: true });
    const { pid } = (await daemon.start(id)).body.instance;
    const took = await seconds(daemon.stop(id));
    expect(took).toBeGreaterThan(0.95);
    expect(took).toBeLessThan(8);
    expect(isAlive(pid ?? 0)).toBe(false);
    expect((await daemon.logs(id)).at(-1)?.line).toContain("SIGTERM ignored");
  });

  test("is awaited for as long as the server takes, within STOP_TIMEOUT", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ sigtermDelayMs: 1200 });
    await daemon.start(id);
    const took = await seconds(daemon.stop(id));
    expect(took).toBeGreaterThan(1.1);
    expect((await daemon.get(id)).status).toBe("stopped");
  });

  test("asked for a second time does not wait any more", async () => {
    await using daemon = await start({ STOP_TIMEOUT: "120" });
    const { id } = await daemon.createFake({ ignoreSigterm: true });
    const { pid } = (await daemon.start(id)).body.instance;
    const first = daemon.stop(id);
    await waitForLog(daemon, id, "SIGTERM ignored");
    expect((await daemon.get(id)).status).toBe("stopping");
    const took = await seconds(daemon.stop(id));
    expect(took).toBeLessThan(10);
    expect((await first).body.instance.status).toBe("stopped");
    expect(isAlive(pid ?? 0)).toBe(false);
  });

  test("leaves nothing behind of what the server forked, in its group and outside", async () => {
    await using daemon = await start({ STOP_TIMEOUT: "1" });
    const { id } = await daemon.createFake({ grandchild: true, grandchildNewSession: true });
    await daemon.start(id);
    const inGroup = await pidInLog(daemon, id, "grandchild");
    const outside = await pidInLog(daemon, id, "grandchild in a new session");
    expect([isAlive(inGroup), isAlive(outside)]).toEqual([true, true]);
    const { body } = await daemon.stop(id);
    expect(body.instance.status).toBe("stopped");
    expect(isAlive(inGroup)).toBe(false);
    await until("the one outside to be gone", () => !isAlive(outside));
  });

  test("ends a server that was stopped by a signal (SIGSTOP)", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    process.kill(pid ?? 2 ** 30, "SIGSTOP");
    expect(await seconds(daemon.stop(id))).toBeLessThan(8);
    expect(isAlive(pid ?? 0)).toBe(false);
  });
});

describe.concurrent("a crash", () => {
  test("is known at once, told with its signal, and is followed by another start", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake();
    const first = (await daemon.start(id)).body.instance;
    await nextTime(first, { readyAfterMs: 2000 });
    process.kill(first.pid ?? 2 ** 30, "SIGKILL");
    const waiting = await whenTold(daemon, id);
    expect(waiting).toMatchObject({ status: "starting", retry_count: 1 });
    expect(waiting.error_message).toMatch(
      /^crash 1 of 5 in a row: the model server was killed by SIGKILL .*; next attempt in 0\.[456] s, at /,
    );
    const second = await daemon.whenStatus(id, "running");
    expect(second.pid).not.toBe(first.pid);
    expect(second).toMatchObject({ retry_count: 1, error_message: null });
  });

  test("is still to be seen while it runs again, and how often it crashed after a stop too", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake();
    const first = (await daemon.start(id)).body.instance;
    expect(first).toMatchObject({ failure: null, restarts: 0 });
    // Each change comes: the pause before the next attempt may be over before anything is asked.
    const socket = daemon.socket("/events");
    await until("the snapshot", () => socket.frames.length > 0);
    process.kill(first.pid ?? 2 ** 30, "SIGKILL");
    await until("the time of the next attempt", () =>
      (socket.frames as unknown as EventFrame[]).some(
        (frame) => frame.type === "instance" && typeof frame.instance.failure?.next_attempt_at === "string",
      ),
    );
    socket.close();
    const second = await daemon.whenStatus(id, "running");
    const failure = { exit_code: null, signal: "SIGKILL", attempts: 1, at: expect.any(String), next_attempt_at: null };
    expect(second).toMatchObject({ error_message: null, restarts: 1, failure });
    expect(second.failure?.reason).toStartWith("the model server was killed by SIGKILL");
    const stopped = (await daemon.stop(id)).body.instance;
    expect(stopped).toMatchObject({ failure: null, restarts: 1 });
    expect((await daemon.start(id)).body.instance).toMatchObject({ failure: null, restarts: 0 });
  });

  test("takes along what the server had forked", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ grandchild: true, grandchildNewSession: true });
    const { pid } = (await daemon.start(id)).body.instance;
    const pids = [await pidInLog(daemon, id, "grandchild"), await pidInLog(daemon, id, "grandchild in a new session")];
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("another process", async () => {
      const instance = await daemon.get(id);
      return instance.status === "running" && instance.pid !== pid;
    });
    await until("what it had forked to be gone", () => !pids.some(isAlive));
    await daemon.stop(id);
  });

  test("tells the last lines that the server wrote", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ exitCode: 9, exitAfterMs: 1500, lastWords: "CUDA error: out of memory" });
    const first = await daemon.start(id);
    await nextTime(first.body.instance, { neverReady: true });
    const waiting = await whenTold(daemon, id);
    expect(waiting.error_message).toContain("exited with code 9");
    expect(waiting.error_message).toContain("CUDA error: out of memory");
  });

  test("for the fifth time in a row is the last, with a longer pause each time", async () => {
    await using daemon = await start();
    const counterFile = join(daemon.dir, "starts");
    const { id } = await daemon.createFake({ exitCode: 9, exitAfterMs: 2000, counterFile });
    const began = performance.now();
    await daemon.start(id);
    const failed = await daemon.whenStatus(id, "failed", 60_000);
    // 0.5 + 1 + 2 + 4 s, a tenth less at the least.
    expect(performance.now() - began).toBeGreaterThan(6500);
    expect(failed.error_message).toStartWith("given up after 5 crashes in a row: the model server exited with code 9");
    expect(failed).toMatchObject({ pid: null, port: null, retry_count: 5 });
    expect(startsOf(counterFile)).toBe(5);
  });

  test("during the pause after one can be answered by a stop", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake();
    const first = (await daemon.start(id)).body.instance;
    await nextTime(first, { neverReady: true });
    process.kill(first.pid ?? 2 ** 30, "SIGKILL");
    await daemon.whenStatus(id, "starting");
    const { body } = await daemon.stop(id);
    expect(body.instance).toMatchObject({ status: "stopped", error_message: null, retry_count: 0 });
    await Bun.sleep(800);
    expect((await daemon.get(id)).status).toBe("stopped");
  });
});

describe.concurrent("a server that hangs", () => {
  const env = { HEALTH_INTERVAL: "0.3", HANG_TIMEOUT: "600" };

  test("with nothing to do is found and restarted", async () => {
    await using daemon = await start({ ...env, STOP_TIMEOUT: "1" });
    const { id } = await daemon.createFake({ hangAfterReady: true });
    const first = (await daemon.start(id)).body.instance;
    await nextTime(first, { readyAfterMs: 2000 });
    const waiting = await whenTold(daemon, id);
    expect(waiting.error_message).toContain("does not answer any more: 3 health checks in a row missed");
    const second = await until("another process", async () => {
      const instance = await daemon.get(id);
      return instance.pid !== null && instance.pid !== first.pid ? instance : null;
    });
    expect(second.pid).not.toBe(first.pid);
    expect(isAlive(first.pid ?? 0)).toBe(false);
  });

  for (const sickStatus of [500, 404]) {
    test(`is no worse than one that answers ${sickStatus} for ever: that is restarted too`, async () => {
      await using daemon = await start({ ...env, STOP_TIMEOUT: "1" });
      const { id } = await daemon.createFake({ sickStatus });
      const first = (await daemon.start(id)).body.instance;
      await nextTime(first, {});
      const { error_message } = await whenTold(daemon, id);
      expect(error_message).toContain(`the model server is not well: its health check answers ${sickStatus}`);
      const second = await until("another process", async () => {
        const instance = await daemon.get(id);
        return instance.status === "running" && instance.pid !== first.pid ? instance : null;
      });
      expect([second.pid === first.pid, isAlive(first.pid ?? 0)]).toEqual([false, false]);
    });
  }

  test("while it is at work is told of, and left alone", async () => {
    await using daemon = await start(env);
    const { id } = await daemon.createFake({ tokens: 1000, tokenMs: 50 });
    const instance = (await daemon.start(id)).body.instance;
    const call = (path: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${instance.port}${path}`, {
        method: "POST",
        headers: { Authorization: "Bearer instance-key" },
        body: JSON.stringify({ messages: [{ role: "user", content: "x" }], stream: true }),
      });
    const generation = await call("/v1/chat/completions");
    await until("it to be at work", async () => (await daemon.state(id)).busy);
    const hanging = call("/hang").catch(() => undefined);
    const told = await whenTold(daemon, id);
    expect(told).toMatchObject({ status: "running", pid: instance.pid });
    expect(told.error_message).toContain("is at work; it is left alone for at most 600 s");
    // Long enough for the three checks after which an idle one would have been restarted.
    await Bun.sleep(1500);
    expect(await daemon.get(id)).toMatchObject({ status: "running", pid: instance.pid });
    await generation.body?.cancel();
    await daemon.stop(id);
    await hanging;
  });
});

describe.concurrent("many at once", () => {
  test("MAX_PARALLEL_STARTS bounds how many load, and each gets its turn", async () => {
    await using daemon = await start({ MAX_PARALLEL_STARTS: "2" });
    const created: Instance[] = [];
    for (let n = 0; n < 6; n++) created.push(await daemon.createFake({ readyAfterMs: 400 }));
    let most = 0;
    let looking = true;
    const look = (async () => {
      while (looking) {
        const instances = (await daemon.request<Instance[]>("GET", "/instances")).body;
        most = Math.max(most, instances.filter(({ status, pid }) => status === "starting" && pid !== null).length);
        await Bun.sleep(10);
      }
    })();
    const answers = await Promise.all(created.map(({ id }) => daemon.start(id)));
    looking = false;
    await look;
    expect(answers.map(({ body }) => body.instance.status)).toEqual(Array(6).fill("running"));
    expect(most).toBe(2);
  });

  test("starts, stops and restarts in any order, of one instance, end in what was asked for last, with one process", async () => {
    await using daemon = await start();
    const { id } = await daemon.createFake({ readyAfterMs: 100 });
    const restart = (): Promise<unknown> => daemon.request("POST", `/instances/${id}/restart`);
    const storm = [
      daemon.start(id),
      daemon.stop(id),
      restart(),
      daemon.start(id),
      restart(),
      daemon.stop(id),
      daemon.stop(id),
      restart(),
    ];
    await Promise.all(storm);
    const { pid } = await daemon.whenStatus(id, "running");
    const file = (await daemon.get(id)).config as { model: string };
    const processes = Bun.spawnSync(["pgrep", "-f", file.model]).stdout.toString().trim().split("\n");
    expect(processes.map(Number)).toContain(pid ?? 0);
    expect(processes).toHaveLength(1);
    await daemon.stop(id);
    expect(Bun.spawnSync(["pgrep", "-f", file.model]).stdout.toString().trim()).toBe("");
  });
});
