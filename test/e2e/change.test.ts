import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { InstanceAnswer } from "../../src/contract/index.ts";
import { type Answer, TestDaemon } from "../support/daemon.ts";

/** PATCH: fields of a config, and what runs by it. */

setDefaultTimeout(60_000);

type Changed = InstanceAnswer & { detail?: unknown };

const change = (daemon: TestDaemon, id: string, config: unknown, query = ""): Promise<Answer<Changed>> =>
  daemon.request<Changed>("PATCH", `/instances/${id}${query}`, { config });

describe.concurrent("a change of fields", () => {
  test("keeps the others; null is a field's default; a key that is not given, or only its mask, stays", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake({}, { temp: 0.5, top_k: 7, ctx_size: 4096 });
    const { status, body } = await change(daemon, id, { temp: null, top_k: 9, api_key: "********", nonsense: 1 });
    expect([status, body.warnings]).toEqual([200, ["unknown key 'nonsense' was left out"]]);
    expect(body.instance.config).toMatchObject({ temp: 1, top_k: 9, ctx_size: 4096, api_key: "instance-key" });
    expect(daemon.configFile().instances[0]?.config).toMatchObject({ temp: 1, top_k: 9, api_key: "instance-key" });
    expect((await change(daemon, id, { api_key: "another" })).body.instance.config.api_key).toBe("another");
    const put = { ...body.instance.config, api_key: "********" };
    expect(
      (await daemon.request<Changed>("PUT", `/instances/${id}`, { config: put })).body.instance.config.api_key,
    ).toBe("another");
  });

  test("is validated whole, each field that is wrong named, and nothing of it stored", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { status, body } = await change(daemon, id, { temp: 9, port: "x", ctx_size: 512 });
    expect(status).toBe(422);
    expect((body.detail as { loc: string[] }[]).map(({ loc }) => loc.at(-1)).sort()).toEqual(["port", "temp"]);
    expect((await daemon.get(id)).config).toMatchObject({ temp: 1, ctx_size: 131_072 });
    for (const wrong of [5, null, "text", []]) expect((await change(daemon, id, wrong)).status).toBe(422);
    expect((await change(daemon, "none", {})).status).toBe(404);
    expect((await change(daemon, id, {}, "?restart=perhaps")).status).toBe(422);
  });

  test("of one that runs wants restart, and then it runs by the new config", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    expect(await change(daemon, id, { temp: 0.5 })).toMatchObject({
      status: 400,
      body: { detail: "Cannot update running instance. Stop it first." },
    });
    const { status, body } = await change(daemon, id, { temp: 0.5 }, "?restart=true");
    expect([status, body.instance]).toMatchObject([200, { status: "running", config: { temp: 0.5 } }]);
    expect(body.instance.pid).not.toBe(pid);
  });

  test("with restart leaves a stopped one stopped, and starts one that failed", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
    const { id } = await daemon.createFake();
    expect((await change(daemon, id, { temp: 0.5 }, "?restart=true")).body.instance.status).toBe("stopped");
    const model = (await daemon.get(id)).config as { model: string };
    await change(daemon, id, { model: "/no/such/model" });
    expect((await daemon.start(id)).status).toBe(500);
    const mended = await change(daemon, id, { model: model.model }, "?restart=true");
    expect([mended.status, mended.body.instance.status]).toEqual([200, "running"]);
  });

  test("that could not run is refused and what runs goes on: a taken port, another's port, no such file, no program", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { pid, port } = (await daemon.start(id)).body.instance;
    const second = await daemon.createFake({}, { alias: "second" });
    const taken = (await daemon.start(second.id)).body.instance.port;
    await using other = Bun.serve({ port: 0, fetch: () => new Response() });
    const hf = { backend_type: "huggingface_causal", model_id: "/no/such/folder/", port: other.port };
    for (const config of [{ port: other.port }, { port: taken }, { model: "/no/such/model" }, hf]) {
      const { status, body } = await change(daemon, id, config, "?restart=true");
      expect([status, body.detail]).toEqual([409, expect.stringContaining("nothing was changed")]);
      expect(await daemon.get(id)).toMatchObject({ status: "running", pid, port, config: { port: null } });
    }
    // The port that it was looked at for is free for others again.
    const third = await daemon.createFake({}, { alias: "third", port: other.port });
    await other.stop(true);
    expect((await daemon.start(third.id)).status).toBe(200);
  });

  test("whose server then dies is a 500 with the reason, and failed with the new config", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
    const { id } = await daemon.createFake();
    await daemon.start(id);
    const bad = await daemon.createFake({ exitCode: 3, lastWords: "error: it does not like this" });
    const { model } = bad.config as { model: string };
    const { status, body } = await change(daemon, id, { model }, "?restart=true");
    expect([status, body.detail]).toEqual([500, expect.stringContaining("it does not like this")]);
    expect(await daemon.get(id)).toMatchObject({ status: "failed", config: { model } });
  });

  test("to the port that it has is none that is taken, and a stop in the middle wins", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "60" } });
    const { id } = await daemon.createFake();
    const { port } = (await daemon.start(id)).body.instance;
    const same = await change(daemon, id, { port }, "?restart=true");
    expect([same.status, same.body.instance.port]).toEqual([200, port]);
    const stubborn = await daemon.createFake({ ignoreSigterm: true }, { alias: "stubborn" });
    await daemon.start(stubborn.id);
    const changing = change(daemon, stubborn.id, { temp: 0.5 }, "?restart=true");
    await daemon.whenStatus(stubborn.id, "stopping");
    await daemon.stop(stubborn.id);
    expect(await changing).toMatchObject({ status: 409, body: { detail: "The restart was overtaken by a stop" } });
    expect(await daemon.get(stubborn.id)).toMatchObject({ status: "stopped", config: { temp: 0.5 } });
  });
});
