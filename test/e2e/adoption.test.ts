import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventFrame, Instance, LogLine } from "../../src/contract/index.ts";
import type { LaunchRecord } from "../../src/model-server/launch-record.ts";
import { bootId, identify } from "../../src/process/identity.ts";
import { TestDaemon, type TestSocket } from "../support/daemon.ts";
import { fakeServer } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** A daemon that was killed, and the next one that finds what it had left. */

setDefaultTimeout(60_000);

const isAlive = (pid: number | null): boolean => {
  try {
    process.kill(pid ?? 0, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

const startFake = async (daemon: TestDaemon, fault: Record<string, unknown> = {}): Promise<Instance> => {
  const { id } = await daemon.createFake(fault);
  const { status, body } = await daemon.start(id);
  expect(status).toBe(200);
  return body.instance;
};

const recordPath = (daemon: TestDaemon, id: string): string =>
  join(daemon.dir, ".solar-host/instances", `${id}.launch.json`);

const readRecord = (daemon: TestDaemon, id: string): LaunchRecord =>
  JSON.parse(readFileSync(recordPath(daemon, id), "utf8"));

const modelOf = (daemon: TestDaemon, id: string): string => {
  const entry = daemon.configFile().instances.find((instance) => instance.id === id);
  return String((entry?.config as { model?: string } | undefined)?.model);
};

const changeRecord = (daemon: TestDaemon, id: string, changes: Partial<LaunchRecord>): void =>
  writeFileSync(recordPath(daemon, id), JSON.stringify({ ...readRecord(daemon, id), ...changes }));

const pidInLog = async (daemon: TestDaemon, id: string, name: string): Promise<number> =>
  until(`the pid of the ${name}`, async () => {
    const line = (await daemon.logs(id, "?after=-1")).find((entry) => entry.line.includes(`fake: ${name} pid `));
    return line === undefined ? null : Number(/pid (\d+)/.exec(line.line)?.[1]);
  });

const linesOf = (socket: TestSocket): LogLine[] =>
  socket.frames.filter((frame) => "seq" in frame) as unknown as LogLine[];

/** A process that has nothing to do with any daemon. */
const bystander = () => {
  const child = Bun.spawn(["sleep", "600"], { detached: true, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
};

describe.concurrent("a model server whose daemon was killed", () => {
  test("goes on serving, and is taken over as it was: process, port, start and log", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await startFake(daemon);
    const { id, pid, port, started_at } = instance;
    const before = await daemon.logs(id, "?after=-1");
    await daemon.kill();
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    await using next = await daemon.again();
    expect(await next.get(id)).toEqual(instance);
    expect(started_at).toBeString();
    const after = await next.logs(id, "?after=-1");
    expect(after.slice(0, before.length)).toEqual(before);
    // What it is asked for from here on works as ever.
    expect((await next.start(id)).body.instance.pid).toBe(pid);
    const { body } = await next.stop(id);
    expect(body.instance).toMatchObject({ status: "stopped", pid: null, port: null });
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(recordPath(next, id))).toBe(false);
    expect((await next.start(id)).body.instance.status).toBe("running");
  });

  test("loses no line to a follower that resumes: each once, those of the time between too", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "50" } });
    const { id } = await startFake(daemon, { lines: 9500, rate: 1200 });
    const first = daemon.socket(`/instances/${id}/logs?after=-1`);
    await until("some lines", () => first.frames.length > 500);
    await daemon.kill();
    await first.closed;
    const seen = linesOf(first);
    const last = seen.at(-1)?.seq ?? 0;
    // It writes on meanwhile.
    const file = readdirSync(join(daemon.dir, "logs"))[0] ?? "";
    const lengthNow = readFileSync(join(daemon.dir, "logs", file)).length;
    await until(
      "lines that nobody follows",
      () => readFileSync(join(daemon.dir, "logs", file)).length > lengthNow + 20_000,
    );
    await using next = await daemon.again();
    const second = next.socket(`/instances/${id}/logs?after=${last}`);
    await until("the last line", () => String(second.frames.at(-1)?.line).startsWith("line 009500"));
    const all = [...seen, ...linesOf(second)];
    expect(second.frames.every((frame) => "seq" in frame)).toBe(true);
    expect(all.findIndex(({ seq }, n) => seq !== n)).toBe(-1);
    const numbers = all.filter(({ line }) => line.startsWith("line ")).map(({ line }) => Number(line.slice(5, 11)));
    expect(numbers.findIndex((number, n) => number !== n + 1)).toBe(-1);
    expect(numbers).toHaveLength(9500);
    const times = all.map(({ timestamp }) => timestamp);
    expect(times).toEqual(times.toSorted());
    // A log that was read over REST says the same.
    const rest = await next.logs(id, "?after=-1&limit=10000");
    expect(rest).toEqual(all);
  });

  test("while it was loading is taken over too, and becomes running", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake({ readyAfterMs: 6000 });
    await daemon.start(id, 0);
    const { pid } = await until("a process", async () => {
      const instance = await daemon.get(id);
      return instance.pid === null ? null : instance;
    });
    await daemon.kill();
    await using next = await daemon.again();
    expect(await next.whenStatus(id, "running")).toMatchObject({ pid, error_message: null });
    // However long the boot took: it was loading then, and not running.
    const socket = next.socket("/events?log=1");
    const events = () =>
      (socket.frames as unknown as EventFrame[]).flatMap((frame) => (frame.type === "event" ? [frame.event] : []));
    await until("what happened", () => events().length >= 2);
    expect(events().map(({ type, detail }) => [type, detail])).toEqual([
      ["adopted", `process ${pid} was left by an earlier daemon`],
      ["running", "its health check answers"],
    ]);
    socket.close();
  });

  test("and that died meanwhile is started again", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("it to be gone", () => !isAlive(pid));
    await using next = await daemon.again();
    const again = await next.whenStatus(id, "running");
    expect(again.pid).not.toBe(pid);
  });

  test("and that dies after it was taken over is known as a crash", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid, config } = await startFake(daemon);
    await daemon.kill();
    await using next = await daemon.again();
    expect((await next.get(id)).pid).toBe(pid);
    if ("model" in config) writeFileSync(config.model, '{"readyAfterMs": 2000}');
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    const told = await until("the crash", async () => {
      const instance = await next.get(id);
      return instance.error_message === null ? null : instance;
    });
    expect(told.error_message).toStartWith("crash 1 of 5 in a row: the model server ended (its exit code went to an");
    expect((await next.whenStatus(id, "running")).pid).not.toBe(pid);
  });

  test("and that died meanwhile has crashed: it is counted, and its last words are told", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon, { exitAfterMs: 60_000 });
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("it to be gone", () => !isAlive(pid));
    writeFileSync(modelOf(daemon, id), JSON.stringify({ neverReady: true }));
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({
      status: "starting",
      retry_count: 1,
      error_message: expect.stringMatching(/^crash 1 of 5 in a row: the model server ended while no daemon ran/),
    });
  });

  test("and that had just been started is wished for from then on", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    // As after a death between the spawn and what is written of it.
    changeRecord(daemon, id, { process: null, status: "starting" });
    const path = join(daemon.dir, "config.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"desired": "running"', '"desired": "stopped"'));
    await using next = await daemon.again();
    expect(await next.whenStatus(id, "running")).toMatchObject({ pid });
    await until("that to be stored", () => next.configFile().instances[0]?.desired === "running");
  });

  test("is asked where it listens, though its config names another address by now", async () => {
    await using daemon = await TestDaemon.start({ env: { HEALTH_INTERVAL: "0.2", STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    const path = join(daemon.dir, "config.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"host": "127.0.0.1"', '"host": "127.0.0.2"'));
    await using next = await daemon.again();
    await using asked = await TestDaemon.start({ env: { HEALTH_INTERVAL: "0.2", STOP_TIMEOUT: "1" } });
    const hanging = await startFake(asked, { hangAfterReady: true });
    // By the time another daemon has called one hung, this one would have, too.
    await until("the other to be replaced", async () => (await asked.get(hanging.id)).pid !== hanging.pid);
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
  });

  test("while it was loading does not wait for a turn behind those that load already", async () => {
    await using daemon = await TestDaemon.start();
    const slow: Instance[] = [];
    for (let n = 0; n < 3; n++) slow.push(await daemon.createFake({ readyAfterMs: n === 2 ? 1500 : 60_000 }));
    for (const { id } of slow) await daemon.start(id, 0);
    await until("all to load", async () =>
      (await Promise.all(slow.map(({ id }) => daemon.get(id)))).every((i) => i.pid),
    );
    const { id, pid } = await daemon.get(slow[2]?.id ?? "");
    await daemon.kill();
    await using next = await daemon.again({ env: { MAX_PARALLEL_STARTS: "1", STOP_TIMEOUT: "1" } });
    expect(await next.whenStatus(id, "running")).toMatchObject({ pid });
  });

  test("and that had crashed before has that counted against it still", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    const instance = await until("another process", async () => {
      const now = await daemon.get(id);
      return now.status === "running" && now.pid !== pid ? now : null;
    });
    expect(instance.retry_count).toBe(1);
    await daemon.kill();
    await using next = await daemon.again();
    expect(await next.get(id)).toEqual(instance);
    process.kill(instance.pid ?? 2 ** 30, "SIGKILL");
    const told = await until("the crash to be told", async () => {
      const now = await next.get(id);
      return now.error_message === null ? null : now;
    });
    expect(told).toMatchObject({
      status: "starting",
      retry_count: 2,
      error_message: expect.stringContaining("crash 2"),
    });
  });

  test("and of which only a grandchild is left is cleared away before another is started", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon, { grandchild: true, grandchildNewSession: true });
    const left = [await pidInLog(daemon, id, "grandchild"), await pidInLog(daemon, id, "grandchild in a new session")];
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("the leader to be gone", () => !isAlive(pid));
    expect(left.map(isAlive)).toEqual([true, true]);
    await using next = await daemon.again();
    await next.whenStatus(id, "running");
    await until("what the old one had forked to be gone", () => !left.some(isAlive));
    await next.stop(id);
  });

  test("in the middle of a stop is stopped by the next one, and stays so", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "60" } });
    const { id, pid } = await startFake(daemon, { ignoreSigterm: true });
    void daemon.stop(id).catch(() => undefined);
    await until("the signal", async () => (await daemon.logs(id)).some(({ line }) => line.includes("SIGTERM ignored")));
    await daemon.kill();
    expect(isAlive(pid)).toBe(true);
    await using next = await daemon.again({ env: { STOP_TIMEOUT: "1" } });
    expect(["stopping", "stopped"]).toContain((await next.get(id)).status);
    await next.whenStatus(id, "stopped");
    expect(isAlive(pid)).toBe(false);
  });

  test.each([
    ["a restart", ["restart"]],
    ["a stop that a restart followed", ["stop", "restart"]],
    ["a stop that a start followed, which has not had its turn", ["stop", "start?wait=0"]],
  ])("in the middle of %s runs again afterwards", async (_, verbs) => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "60" } });
    const { id, pid } = await startFake(daemon, { ignoreSigterm: true });
    for (const verb of verbs) {
      void daemon.request("POST", `/instances/${id}/${verb}`).catch(() => undefined);
      await daemon.whenStatus(id, "stopping");
    }
    await until("the wish to be stored", () => daemon.configFile().instances[0]?.desired === "running");
    await until("the signal", async () => (await daemon.logs(id)).some(({ line }) => line.includes("SIGTERM ignored")));
    await daemon.kill();
    await using next = await daemon.again({ env: { STOP_TIMEOUT: "1" } });
    const again = await until("another process", async () => {
      const instance = await next.get(id);
      return instance.status === "running" && instance.pid !== pid ? instance : null;
    });
    expect(isAlive(pid)).toBe(false);
    expect(isAlive(again.pid)).toBe(true);
    await next.stop(id);
  });

  test("of an instance that was taken out of the config is ended", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    writeFileSync(join(daemon.dir, "config.json"), '{"instances": []}');
    await using next = await daemon.again();
    await until("it to be ended", () => !isAlive(pid));
    await until("its record to be gone", () => !existsSync(recordPath(next, id)));
    expect((await next.request<unknown[]>("GET", "/instances")).body).toEqual([]);
  });

  test("keeps its port: an instance that starts next to it gets another", async () => {
    await using daemon = await TestDaemon.start();
    const { port } = await startFake(daemon);
    await daemon.kill();
    await using next = await daemon.again({ env: { START_PORT: String(port) } });
    const other = await startFake(next);
    expect(other.port).toBeGreaterThan(port ?? 0);
  });

  test("is known to be at work, and what it had done long before, however much it wrote since", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake({ tokens: 100_000, tokenMs: 50 });
    const ask = ({ port }: Instance, path: string, body: string): Promise<string> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        headers: { Authorization: "Bearer instance-key" },
        body,
      }).then((answer) => answer.text());
    writeFileSync(modelOf(daemon, id), "{}");
    const first = (await daemon.start(id)).body.instance;
    await ask(first, "/v1/chat/completions", '{"messages":[{"role":"user","content":"x"}]}');
    const figures = await until("the figures", async () => {
      const { status, body } = await daemon.lastGeneration(id);
      return status === 200 ? body : null;
    });
    // In a file before the newest one, and far from its end.
    writeFileSync(modelOf(daemon, id), JSON.stringify({ tokens: 100_000, tokenMs: 50 }));
    const second = (await daemon.request<{ instance: Instance }>("POST", `/instances/${id}/restart`)).body.instance;
    const asked = ask(second, "/v1/chat/completions", '{"messages":[{"role":"user","content":"x"}],"stream":true}');
    asked.catch(() => undefined);
    const before = await until("it to generate", async () => {
      const state = await daemon.state(id);
      return state.phase === "generating" ? state : null;
    });
    await ask(second, "/write?lines=30000&bytes=100", "");
    const kept = join(daemon.dir, `.solar-host/states/${id}.json`);
    await until(
      "that to be kept",
      () => JSON.parse(readFileSync(kept, "utf8")).slots[0]?.state.generated_tokens >= Number(before.generated_tokens),
    );
    await daemon.kill();
    await using next = await daemon.again({ env: { STOP_TIMEOUT: "1" } });
    const state = await next.state(id);
    expect(state).toMatchObject({ busy: true, phase: "generating", task_id: before.task_id, slot_id: before.slot_id });
    expect(Number(state.generated_tokens)).toBeGreaterThanOrEqual(Number(before.generated_tokens));
    expect((await next.lastGeneration(id)).body).toEqual(figures);
    await until(
      "it to get on",
      async () => Number((await next.state(id)).generated_tokens) > Number(state.generated_tokens),
    );
  });

  test("has figures of what it had done before: the last generation is still known", async () => {
    await using daemon = await TestDaemon.start();
    const { id, port } = await startFake(daemon, { tokens: 5 });
    const chat = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: "POST",
      headers: { Authorization: "Bearer instance-key" },
      body: JSON.stringify({ messages: [{ role: "user", content: "x" }] }),
    });
    await chat.json();
    const before = await until("the figures", async () => {
      const answer = await daemon.lastGeneration(id);
      return answer.status === 200 ? answer.body : null;
    });
    expect(before).toMatchObject({ prompt_tokens: 12, generated_tokens: 5 });
    await daemon.kill();
    await using next = await daemon.again();
    const after = await until("the figures", async () => {
      const answer = await next.lastGeneration(id);
      return answer.status === 200 ? answer.body : null;
    });
    expect(after).toEqual(before);
  });
});

describe.concurrent("a record", () => {
  test("of a start that was recorded but whose process was not: the process is found by its mark", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    changeRecord(daemon, id, { process: null, status: "starting" });
    await using next = await daemon.again();
    expect(await next.whenStatus(id, "running")).toMatchObject({ pid });
    await next.stop(id);
    expect(isAlive(pid)).toBe(false);
  });

  test("of a start whose process never came is nothing: it is started", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    const record = readRecord(daemon, id);
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("it to be gone", () => !isAlive(pid));
    changeRecord(daemon, id, { process: null, mark: "00000000-0000-4000-8000-000000000000" });
    await using next = await daemon.again();
    const again = await next.whenStatus(id, "running");
    expect(again.pid).not.toBe(pid);
    expect(readRecord(next, id).mark).not.toBe(record.mark);
  });

  test("with a pid that is another process by now: that one is neither taken over nor signalled", async () => {
    await using stranger = bystander();
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("it to be gone", () => !isAlive(pid));
    const was = readRecord(daemon, id).process;
    changeRecord(daemon, id, {
      process: { ...was, pid: stranger.pid, startTime: was?.startTime ?? "", bootId: bootId() },
    });
    await using next = await daemon.again();
    const again = await next.whenStatus(id, "running");
    expect(again.pid).not.toBe(stranger.pid);
    await next.stop(id);
    expect(isAlive(stranger.pid)).toBe(true);
  });

  test("of another run of the machine is left alone, though pid and start time agree", async () => {
    await using stranger = bystander();
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    const identity = identify(stranger.pid);
    if (identity === null) throw new Error("the stranger has gone");
    // What it says of a stop is as old as it is: the configuration knows that the instance should run.
    const changes = { process: { ...identity, bootId: "another-boot" }, status: "stopping" } as const;
    changeRecord(daemon, id, changes);
    await using next = await daemon.again();
    const started = await next.whenStatus(id, "running");
    expect([pid, stranger.pid]).not.toContain(started.pid);
    expect(isAlive(stranger.pid)).toBe(true);
    await next.stop(id);
    expect(isAlive(stranger.pid)).toBe(true);
  });

  test("of another run of the machine does not start what is to be stopped", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "1" } });
    const { id, pid } = await startFake(daemon);
    const record = readRecord(daemon, id);
    await daemon.stop(id);
    await daemon.kill();
    const process = record.process === null ? null : { ...record.process, bootId: "another-boot" };
    writeFileSync(recordPath(daemon, id), JSON.stringify({ ...record, process }));
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "stopped", pid: null });
    expect(existsSync(recordPath(next, id))).toBe(false);
    expect(isAlive(pid)).toBe(false);
  });

  test("that is damaged or gone leaves no process that no daemon knows", async () => {
    await using daemon = await TestDaemon.start();
    const servers = [await startFake(daemon), await startFake(daemon), await startFake(daemon)];
    const [damaged, removed, whole] = servers as [Instance, Instance, Instance];
    await daemon.kill();
    writeFileSync(recordPath(daemon, damaged.id), '{"half": ');
    rmSync(recordPath(daemon, removed.id));
    await using next = await daemon.again();
    for (const { id, pid } of [damaged, removed]) {
      expect(isAlive(pid)).toBe(false);
      expect((await next.whenStatus(id, "running")).pid).not.toBe(pid);
    }
    expect(await next.get(whole.id)).toMatchObject({ status: "running", pid: whole.pid });
    expect(next.stderr).toContain("no record tells of them");
  });

  test("that is damaged, or of an instance that never was, does not keep the daemon from starting", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    await daemon.kill();
    const dir = join(daemon.dir, ".solar-host/instances");
    mkdirSync(dir, { recursive: true });
    for (const [name, text] of Object.entries({
      [`${id}.launch.json`]: '{"half": ',
      "never-was.launch.json": "{}",
      "empty.launch.json": "",
      "null.launch.json": "null",
      "list.launch.json": "[]",
      "bad-pid.launch.json": JSON.stringify({ mark: "x", process: { pid: -1, startTime: "1", bootId: bootId() } }),
      "all.launch.json": JSON.stringify({ mark: "", process: { pid: 0, startTime: "", bootId: bootId() } }),
      "%zz.launch.json": "{}",
      [`${id}.log.json`]: "{}",
    })) {
      writeFileSync(join(dir, name), text);
    }
    await using next = await daemon.again();
    expect((await next.start(id)).body.instance?.status).toBe("running");
  });

  test("of what an older daemon left with another llama-server is taken over all the same", async () => {
    await using daemon = await TestDaemon.start();
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    await using next = await daemon.again({ llamaServer: "/no/such/llama-server" });
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
    expect(readRecord(next, id).command[0]).toBe(fakeServer);
  });
});
