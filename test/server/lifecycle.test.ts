import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer } from "node:net";
import type { Instance } from "../../src/contract/index.ts";
import { TestDaemon } from "../support/daemon.ts";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

/** Start, stop and restart over HTTP, on a fake model server. */

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1", STOP_TIMEOUT: "5" } });
});
afterAll(() => daemon[Symbol.asyncDispose]());

const config = (alias: string) => ({ model: "/m", alias, api_key: "k" });

const healthOf = async ({ port }: Instance): Promise<number> => (await fetch(`http://127.0.0.1:${port}/health`)).status;

/** A port that was free a moment ago. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });

describe.concurrent("starting", () => {
  test("answers when the model is ready, with process, port and time", async () => {
    const { id } = await daemon.createFake({ readyAfterMs: 300 });
    const { status, body } = await daemon.start(id);
    expect([status, body.message]).toEqual([200, `Instance ${id} started successfully`]);
    const { instance } = body;
    expect(instance).toMatchObject({ status: "running", error_message: null, retry_count: 0, loading: null });
    expect(await healthOf(instance)).toBe(200);
    expect(isAlive(instance.pid)).toBe(true);
    expect(Math.abs(Date.now() - Date.parse(instance.started_at ?? ""))).toBeLessThan(30_000);
    expect(await daemon.get(id)).toEqual(instance);
    expect(daemon.configFile().instances.find((one) => one.id === id)).toMatchObject({ desired: "running" });
  });

  test("answers 200 and `starting` where the model takes longer than it waits, and turns `running` by itself", async () => {
    const { id } = await daemon.createFake({ readyAfterMs: 1500 });
    const { status, body } = await daemon.start(id, 0.2);
    expect([status, body.instance.status]).toEqual([200, "starting"]);
    expect(body.instance.port).toBeNumber();
    await daemon.whenStatus(id, "running");
  });

  test("does not wait at all when asked not to", async () => {
    const { id } = await daemon.createFake({ neverReady: true });
    const began = performance.now();
    const { status, body } = await daemon.start(id, 0);
    expect([status, body.instance.status]).toEqual([200, "starting"]);
    expect(performance.now() - began).toBeLessThan(15_000);
    await daemon.stop(id);
  });

  test("what starts or runs already is as good as done, and starts nothing a second time", async () => {
    const { id } = await daemon.createFake({ readyAfterMs: 300 });
    const answers = await Promise.all([daemon.start(id), daemon.start(id), daemon.start(id)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(({ body }) => body.instance.pid)).size).toBe(1);
    const again = await daemon.start(id);
    expect(again.body.instance).toEqual(answers[0]?.body.instance as never);
  });

  test("refuses a wait that is none", async () => {
    const { id } = await daemon.createFake();
    for (const wait of ["soon", "-1", "601", "NaN"]) {
      const answer = await daemon.request<{ detail: { loc: string[]; input: string }[] }>(
        "POST",
        `/instances/${id}/start?wait=${wait}`,
      );
      expect([wait, answer.status]).toEqual([wait, 422]);
      expect(answer.body.detail[0]).toMatchObject({ loc: ["query", "wait"], input: wait });
    }
    expect((await daemon.get(id)).status).toBe("stopped");
  });

  test("that fails answers 500 with the reason, and it is failed", async () => {
    const { id } = await daemon.createFake({ exitCode: 3, lastWords: "error: no GPU for you" });
    const { status, body } = await daemon.start(id);
    expect(status).toBe(500);
    expect(body.detail).toStartWith("Failed to start instance: the model server exited with code 3");
    expect(body.detail).toContain("no GPU for you");
    expect(await daemon.get(id)).toMatchObject({
      status: "failed",
      error_message: body.detail?.replace("Failed to start instance: ", "") ?? "",
      port: null,
      pid: null,
      started_at: null,
      retry_count: 1,
    });
  });

  test("without its model file fails at once, and says which", async () => {
    const { id } = await daemon.create({ ...config("no model"), model: "/no/such/model.gguf" });
    const { status, body } = await daemon.start(id);
    expect([status, body.detail]).toEqual([
      500,
      "Failed to start instance: model: no such file: '/no/such/model.gguf'",
    ]);
    const folder = await daemon.create({ ...config("folder"), model: daemon.dir });
    expect((await daemon.start(folder.id)).body.detail).toBe(
      `Failed to start instance: model: not a file: '${daemon.dir}'`,
    );
  });
});

describe.concurrent("a port that the config names", () => {
  test("is the one that is taken", async () => {
    const port = await freePort();
    const { id } = await daemon.createFake({}, { port });
    const { body } = await daemon.start(id);
    expect(body.instance.port).toBe(port);
    expect(await healthOf(body.instance)).toBe(200);
  });

  test("and that another program has is an error with the reason, not another port", async () => {
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    try {
      const { id } = await daemon.createFake({}, { port: other.port });
      const { status, body } = await daemon.start(id);
      expect([status, body.detail]).toEqual([
        500,
        `Failed to start instance: address in use: port ${other.port} is taken by another program`,
      ]);
      expect(await daemon.get(id)).toMatchObject({ status: "failed", port: null, pid: null });
    } finally {
      other.stop(true);
    }
  });

  test("is given to one of two instances only", async () => {
    const port = await freePort();
    const instances = await Promise.all([daemon.createFake({}, { port }), daemon.createFake({}, { port })]);
    const answers = await Promise.all(instances.map(({ id }) => daemon.start(id)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 500]);
  });
});

describe.concurrent("stopping", () => {
  test("ends the process; nothing of it is left in what is shown", async () => {
    const { id } = await daemon.createFake();
    const { pid, port } = (await daemon.start(id)).body.instance;
    const { status, body } = await daemon.stop(id);
    expect([status, body.message]).toEqual([200, `Instance ${id} stopped successfully`]);
    expect(body.instance).toMatchObject({ status: "stopped", port: null, pid: null, started_at: null });
    expect(isAlive(pid)).toBe(false);
    expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
    expect(daemon.configFile().instances.find((one) => one.id === id)).toMatchObject({ desired: "stopped" });
  });

  test("what is stopped is as good as done, and a failure is forgotten by it", async () => {
    const { id } = await daemon.createFake({ exitCode: 3 });
    expect((await daemon.stop(id)).status).toBe(200);
    await daemon.start(id);
    const { status, body } = await daemon.stop(id);
    expect([status, body.instance.status, body.instance.error_message]).toEqual([200, "stopped", null]);
  });

  test("overtakes a start that waits: that is answered 409, and it stays stopped", async () => {
    const { id } = await daemon.createFake({ neverReady: true });
    const start = daemon.start(id);
    await daemon.whenStatus(id, "starting");
    const stop = await daemon.stop(id);
    expect([stop.status, stop.body.instance.status]).toEqual([200, "stopped"]);
    const { status, body } = await start;
    expect([status, body.detail]).toEqual([409, "The start was overtaken by a stop"]);
    expect((await daemon.get(id)).status).toBe("stopped");
  });

  test("many times at once answers each of them", async () => {
    const { id } = await daemon.createFake();
    await daemon.start(id);
    const answers = await Promise.all([daemon.stop(id), daemon.stop(id), daemon.stop(id)]);
    expect(answers.map(({ status, body }) => [status, body.instance.status])).toEqual(Array(3).fill([200, "stopped"]));
  });

  test("and starting in any order ends in what was asked for last", async () => {
    const { id } = await daemon.createFake();
    for (let round = 0; round < 3; round++) {
      const start = daemon.start(id);
      const stop = daemon.stop(id);
      // Each goes by a connection of its own: only what was answered is known to have come before.
      await stop;
      await daemon.start(id);
      await start;
      await daemon.whenStatus(id, "running");
      const final = daemon.stop(id);
      await final;
      expect((await daemon.get(id)).status).toBe("stopped");
    }
  });
});

describe.concurrent("restarting", () => {
  test("gives another process, and a stopped or failed instance is started by it", async () => {
    const { id } = await daemon.createFake();
    const first = await daemon.request<{ instance: Instance; message: string }>("POST", `/instances/${id}/restart`);
    expect([first.status, first.body.message]).toEqual([200, `Instance ${id} restarted successfully`]);
    const second = await daemon.request<{ instance: Instance }>("POST", `/instances/${id}/restart`);
    expect(second.body.instance.status).toBe("running");
    expect(second.body.instance.pid).not.toBe(first.body.instance.pid);
    expect(isAlive(first.body.instance.pid)).toBe(false);
  });

  test("that fails says so in its own words", async () => {
    const { id } = await daemon.createFake({ exitCode: 3 });
    const { status, body } = await daemon.request<{ detail: string }>("POST", `/instances/${id}/restart`);
    expect(status).toBe(500);
    expect(body.detail).toStartWith("Failed to restart instance: the model server exited with code 3");
  });

  test("is overtaken by a stop", async () => {
    const { id } = await daemon.createFake({ neverReady: true });
    const restart = daemon.request<{ detail: string }>("POST", `/instances/${id}/restart`);
    await daemon.whenStatus(id, "starting");
    await daemon.stop(id);
    expect(await restart).toEqual({ status: 409, body: { detail: "The restart was overtaken by a stop" } });
  });

  test("is overtaken by another restart, which is named, as it is to a start", async () => {
    const { id } = await daemon.createFake({ neverReady: true });
    const start = daemon.request<{ detail: string }>("POST", `/instances/${id}/start`);
    await daemon.whenStatus(id, "starting");
    const restart = daemon.request<{ detail: string }>("POST", `/instances/${id}/restart`);
    expect(await start).toEqual({ status: 409, body: { detail: "The start was overtaken by a restart" } });
    const again = daemon.request<{ detail: string }>("POST", `/instances/${id}/restart?wait=0`);
    expect(await restart).toEqual({ status: 409, body: { detail: "The restart was overtaken by another restart" } });
    expect((await again).status).toBe(200);
    await daemon.stop(id);
  });
});

describe.concurrent("editing and deleting", () => {
  test("are refused while it starts, runs or stops", async () => {
    const { id } = await daemon.createFake({ readyAfterMs: 500, sigtermDelayMs: 1000 });
    const refusals = async (): Promise<unknown[]> => {
      const put = await daemon.request("PUT", `/instances/${id}`, { config: config("other") });
      const del = await daemon.request("DELETE", `/instances/${id}`);
      return [put.status, put.body, del.status, del.body];
    };
    const expected = [
      400,
      { detail: "Cannot update running instance. Stop it first." },
      400,
      { detail: "Cannot delete running instance. Stop it first." },
    ];
    await daemon.start(id, 0);
    expect(await refusals()).toEqual(expected);
    await daemon.whenStatus(id, "running");
    expect(await refusals()).toEqual(expected);
    const stop = daemon.stop(id);
    await daemon.whenStatus(id, "stopping");
    expect(await refusals()).toEqual(expected);
    await stop;
    expect((await daemon.request("PUT", `/instances/${id}`, { config: config("other") })).status).toBe(200);
    expect((await daemon.request("DELETE", `/instances/${id}`)).status).toBe(200);
  });

  test("are allowed as soon as it has failed: the very next request may mend it, or be rid of it", async () => {
    for (let round = 0; round < 5; round++) {
      const { id, config: good } = await daemon.createFake();
      const bad = await daemon.createFake({ exitCode: 1 }, { alias: `mended-${round}` });
      expect((await daemon.start(bad.id)).status).toBe(500);
      const put = await daemon.request("PUT", `/instances/${bad.id}`, { config: { ...good, alias: "mended" } });
      expect(put.status).toBe(200);
      expect((await daemon.request("DELETE", `/instances/${id}`)).status).toBe(200);
      expect((await daemon.start(bad.id)).body.instance.status).toBe("running");
      await daemon.stop(bad.id);
    }
    const gone = await daemon.createFake({ exitCode: 1 });
    await daemon.start(gone.id);
    expect((await daemon.request("DELETE", `/instances/${gone.id}`)).status).toBe(200);
  });
});

describe.concurrent("what failed but has not gone yet", () => {
  // The leader is dead, what it forked ignores SIGTERM and gets two seconds.
  const dying = { exitCode: 7, grandchild: true };

  test("is stopped by a stop in the middle of it, and can be started again", async () => {
    const { id } = await daemon.createFake(dying);
    const start = daemon.start(id);
    await daemon.whenStatus(id, "failed");
    const stop = await daemon.stop(id);
    expect([stop.status, stop.body.instance.status]).toEqual([200, "stopped"]);
    await start;
    await until("it to stay stopped", async () => (await daemon.get(id)).status === "stopped");
    expect((await daemon.start(id)).body.detail).toContain("exited with code 7");
  });

  test("can be edited and deleted like all that failed", async () => {
    const { id } = await daemon.createFake(dying);
    void daemon.start(id);
    await daemon.whenStatus(id, "failed");
    expect((await daemon.request("PUT", `/instances/${id}`, { config: config("edited") })).status).toBe(200);
    expect((await daemon.request("DELETE", `/instances/${id}`)).status).toBe(200);
  });

  test("can be restarted", async () => {
    const { id } = await daemon.createFake(dying);
    void daemon.start(id);
    await daemon.whenStatus(id, "failed");
    const restart = await daemon.request<{ detail: string }>("POST", `/instances/${id}/restart`);
    expect([restart.status, restart.body.detail]).toEqual([500, expect.stringContaining("exited with code 7")]);
    expect((await daemon.get(id)).status).toBe("failed");
  });
});
