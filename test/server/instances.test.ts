import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Instance, InstanceAnswer } from "../../src/contract/index.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";

setDefaultTimeout(60_000);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
});
afterAll(() => daemon[Symbol.asyncDispose]());

const minimal = { model: "/models/m.gguf", alias: "llama-3:8b", api_key: "instance-key" };

const create = (config: unknown) => daemon.request<InstanceAnswer>("POST", "/instances", { config });

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

interface Invalid {
  detail: { type: string; loc: (string | number)[]; msg: string; input: unknown }[];
}

/** Raw, since some of these are no JSON. */
const post = async (body: Body | null, headers: Record<string, string> = {}) => {
  const answer = await fetch(`${daemon.url}/instances`, {
    method: "POST",
    headers: { "X-API-Key": KEY, ...headers },
    body,
  });
  return { status: answer.status, type: answer.headers.get("content-type"), body: (await answer.json()) as Invalid };
};

describe("creating an instance", () => {
  test("answers with all of it, stored and not started", async () => {
    const { status, body } = await create(minimal);
    expect(status).toBe(200);
    const { instance } = body;
    expect(body).toEqual({
      instance: {
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
        config: {
          backend_type: "llamacpp",
          model: "/models/m.gguf",
          alias: "llama-3:8b",
          threads: 1,
          n_gpu_layers: 999,
          temp: 1,
          top_p: 1,
          top_k: 0,
          min_p: 0,
          ctx_size: 131_072,
          chat_template_file: null,
          special: false,
          host: "0.0.0.0",
          port: null,
          api_key: "instance-key",
          priority: 0,
        },
        status: "stopped",
        port: null,
        pid: null,
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        started_at: null,
        error_message: null,
        retry_count: 0,
        desired: "stopped",
        failure: null,
        restarts: 0,
        supported_endpoints: ["/v1/chat/completions", "/v1/completions", "/v1/models"],
        loading: null,
        log_file: null,
      } as never,
      message: `Instance ${instance.id} created successfully`,
    });
    expect(await daemon.get(instance.id)).toEqual(instance);
    const listed = (await daemon.request<Instance[]>("GET", "/instances")).body;
    expect(listed.find(({ id }) => id === instance.id)).toEqual(instance);
  });

  test("has each backend's endpoints", async () => {
    const model = { model_id: "org/model", alias: "hf", api_key: "k" };
    const endpoints = async (config: unknown) => (await create(config)).body.instance.supported_endpoints;
    expect(await endpoints({ ...model, backend_type: "huggingface_causal" })).toEqual([
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/models",
      "/health",
    ]);
    expect(await endpoints({ ...model, backend_type: "huggingface_classification" })).toEqual([
      "/v1/classify",
      "/v1/models",
      "/health",
    ]);
    expect(await endpoints({ ...model, labels: ["a", "b"] })).toContain("/v1/classify");
  });

  test("names unknown keys in warnings, and has none of those where all are known", async () => {
    const { status, body } = await create({ ...minimal, n_ctx: 4, flash: true });
    expect(status).toBe(200);
    expect(body.warnings).toEqual(["unknown key 'n_ctx' was left out", "unknown key 'flash' was left out"]);
    expect(body.instance.config).not.toHaveProperty("n_ctx");
    expect((await create(minimal)).body).not.toHaveProperty("warnings");
  });

  test("is on the disk when it is answered, for the owner's eyes alone", async () => {
    const { body } = await create({ ...minimal, alias: "stored" });
    const entry = daemon.configFile().instances.find(({ id }) => id === body.instance.id);
    expect(entry).toMatchObject({ config: { alias: "stored", api_key: "instance-key" }, status: "stopped" });
    const path = join(daemon.dir, "config.json");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).toStartWith('{\n  "instances": [\n    {\n      "id": ');
  });

  test("works whatever content type the client names: curl -d says it is a form", async () => {
    for (const type of ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"]) {
      const { status } = await post(JSON.stringify({ config: minimal }), { "content-type": type });
      expect([type, status]).toEqual([type, 200]);
    }
  });

  test("many at once gives each an id of its own, and all are stored", async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => create({ ...minimal, alias: `many-${n}` })));
    const ids = answers.map(({ body }) => body.instance.id);
    expect(new Set(ids).size).toBe(40);
    const stored = daemon.configFile().instances.map(({ id }) => id as string);
    expect(ids.filter((id) => !stored.includes(id))).toEqual([]);
  });
});

describe("what is wrong with a body", () => {
  test("is named, field by field, with 422", async () => {
    const { status, type, body } = await post(
      JSON.stringify({ config: { alias: "", model: "/m", temp: 7, threads: "many", port: 70_000 } }),
    );
    expect([status, type]).toEqual([422, "application/json"]);
    const byField = Object.fromEntries(body.detail.map(({ loc, ...rest }) => [loc.join("."), rest]));
    expect(byField).toEqual({
      "body.config.alias": { type: "string_too_short", msg: "Input should not be empty", input: "" },
      "body.config.temp": { type: "less_than_equal", msg: "Input should be less than or equal to 2", input: 7 },
      "body.config.threads": { type: "number_type", msg: "Input should be a whole number", input: "many" },
      "body.config.port": {
        type: "less_than_equal",
        msg: "Input should be less than or equal to 65535",
        input: 70_000,
      },
      "body.config.api_key": { type: "missing", msg: "Field required", input: null },
    });
  });

  test("is the place where it stops being JSON", async () => {
    const { status, body } = await post('{"config": {\n  "alias": "a",,\n}}');
    expect(status).toBe(422);
    expect(body.detail).toEqual([
      {
        type: "json_invalid",
        loc: ["body"],
        msg: expect.stringContaining("Malformed JSON at line 2, column"),
        input: null,
      },
    ]);
  });

  test("is the place where its bytes stop being UTF-8: nothing is stored with other characters in their place", async () => {
    const text = JSON.stringify({ config: { ...minimal, alias: "café" } }, null, 2);
    const { status, body } = await post(new Uint8Array(Buffer.from(text, "latin1")));
    expect(status).toBe(422);
    expect(body.detail).toEqual([
      {
        type: "json_invalid",
        loc: ["body"],
        msg: expect.stringMatching(/^Malformed JSON at line \d+, column 18: it is not UTF-8$/),
        input: null,
      },
    ]);
    expect((await post(`\ufeff${text}`)).status).toBe(200);
  });

  test("is never an error of the server's: no body, no object, no end, noise, depth, a config in a string", async () => {
    const bodies: [string, Body | null][] = [
      ["nothing", null],
      ["empty", ""],
      ["null", "null"],
      ["a number", "5"],
      ["a string", '"config"'],
      ["a list", "[]"],
      ["no config", "{}"],
      ["a null config", '{"config": null}'],
      ["a list as config", '{"config": []}'],
      ["a string as config", JSON.stringify({ config: JSON.stringify(minimal) })],
      ["cut off", '{"config": {"alias'],
      ["not UTF-8", new Uint8Array([0xff, 0xfe, 0x7b])],
      ["NUL", "\0"],
      ["deep lists", "[".repeat(400_000)],
      ["deep objects", '{"config":'.repeat(90_000)],
      ["deep and whole", `{"config":{"alias":${"[".repeat(300_000)}${"]".repeat(300_000)}}}`],
      ["a huge number", `{"config":{"threads":1${"0".repeat(1000)}}}`],
      ["a prototype", '{"__proto__":{"config":{}}}'],
    ];
    for (const [name, body] of bodies) {
      const answer = await post(body);
      expect([name, answer.status, answer.type]).toEqual([name, 422, "application/json"]);
      expect([name, Array.isArray(answer.body.detail)]).toEqual([name, true]);
      expect(JSON.stringify(answer.body)).not.toContain("instance-key");
    }
  });

  test("is its size, over 1 MiB: 413, whether its length is told before or not", async () => {
    const large = JSON.stringify({ config: { ...minimal, alias: "x".repeat(1024 * 1024) } });
    const told = await post(large);
    expect([told.status, told.body]).toEqual([413, { detail: "Request body is larger than 1 MiB" } as never]);
    const bytes = Buffer.from(large);
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 65_536) controller.enqueue(bytes.subarray(at, at + 65_536));
        controller.close();
      },
    });
    const untold = await post(stream);
    expect([untold.status, untold.body]).toEqual([413, { detail: "Request body is larger than 1 MiB" } as never]);
  });

  test("never has a key in what is answered, nor in what the daemon logs", async () => {
    const secret = "s3cr3t-k3y";
    const configs: unknown[] = [
      { ...minimal, api_key: `${secret}\u00e4` },
      { ...minimal, api_key: [secret] },
      { ...minimal, api_key: { secret } },
      { api_key: secret },
      JSON.stringify({ api_key: secret }),
    ];
    for (const config of configs) {
      const answer = await create(config);
      expect(answer.status).toBe(422);
      expect(JSON.stringify(answer.body)).not.toContain(secret);
    }
    const broken = await post(`{"config": {"api_key": "${secret}"`);
    expect(JSON.stringify(broken.body)).not.toContain(secret);
    const good = await create({ ...minimal, api_key: secret });
    expect(good.status).toBe(200);
    await daemon.start(good.body.instance.id);
    expect(daemon.stderr).toContain("created");
    expect(daemon.stderr).not.toContain(secret);
    expect(daemon.stderr).not.toContain(KEY);
  });
});

describe("editing an instance", () => {
  test("replaces its config and answers with it", async () => {
    const { id } = (await create(minimal)).body.instance;
    const config = { ...minimal, alias: "renamed", threads: "6", chat_template_file: "", unknown: 1 };
    const { status, body } = await daemon.request<InstanceAnswer>("PUT", `/instances/${id}`, { config });
    expect(status).toBe(200);
    expect(body.message).toBe(`Instance ${id} updated successfully`);
    expect(body.warnings).toEqual(["unknown key 'unknown' was left out"]);
    expect(body.instance.config).toMatchObject({ alias: "renamed", threads: 6, chat_template_file: null });
    expect(await daemon.get(id)).toEqual(body.instance);
    const entry = daemon.configFile().instances.find((one) => one.id === id);
    expect(entry).toMatchObject({ config: { alias: "renamed" } });
  });

  test("replaces and does not merge: what is not given again is its default again", async () => {
    const { id } = (await create({ ...minimal, threads: 8, port: 3999 })).body.instance;
    const { body } = await daemon.request<InstanceAnswer>("PUT", `/instances/${id}`, { config: minimal });
    expect(body.instance.config).toMatchObject({ threads: 1, port: null });
  });

  test("may change its backend, and the endpoints follow", async () => {
    const { id } = (await create(minimal)).body.instance;
    const config = { backend_type: "huggingface_classification", model_id: "org/m", alias: "a", api_key: "k" };
    const { body } = await daemon.request<InstanceAnswer>("PUT", `/instances/${id}`, { config });
    expect(body.instance.config).toMatchObject({ backend_type: "huggingface_classification", max_length: 512 });
    expect(body.instance.config).not.toHaveProperty("model");
    expect(body.instance.supported_endpoints).toEqual(["/v1/classify", "/v1/models", "/health"]);
  });

  test("that is wrong changes nothing", async () => {
    const { id } = (await create(minimal)).body.instance;
    const before = await daemon.get(id);
    const answer = await daemon.request<Invalid>("PUT", `/instances/${id}`, { config: { ...minimal, temp: 9 } });
    expect(answer.status).toBe(422);
    expect(answer.body.detail[0]?.loc).toEqual(["body", "config", "temp"]);
    expect(await daemon.get(id)).toEqual(before);
  });
});

describe("deleting an instance", () => {
  test("answers with what it was; then it is gone from everywhere", async () => {
    const { instance } = (await create(minimal)).body;
    const answer = await daemon.request<InstanceAnswer>("DELETE", `/instances/${instance.id}`);
    expect(answer).toEqual({
      status: 200,
      body: { instance, message: `Instance ${instance.id} deleted successfully` },
    });
    expect((await daemon.request("GET", `/instances/${instance.id}`)).status).toBe(404);
    expect((await daemon.request("DELETE", `/instances/${instance.id}`)).status).toBe(404);
    expect(daemon.configFile().instances.some(({ id }) => id === instance.id)).toBe(false);
  });

  test("twice at once is once", async () => {
    const { id } = (await create(minimal)).body.instance;
    const answers = await Promise.all([1, 2, 3].map(() => daemon.request("DELETE", `/instances/${id}`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404]);
  });

  test("keeps its log files, and closes its subscribers' sockets", async () => {
    const { id } = await daemon.createFake({ exitCode: 1, lastWords: "the end" });
    await daemon.start(id);
    const { log_file: logFile } = await daemon.get(id);
    const sockets = ["logs", "state"].map((kind) => daemon.socket(`/instances/${id}/${kind}`));
    await Promise.all(sockets.map((socket) => socket.opened));
    expect((await daemon.request("DELETE", `/instances/${id}`)).status).toBe(200);
    for (const socket of sockets) expect((await socket.closed).code).toBe(1000);
    expect(readFileSync(logFile ?? "", "utf8")).toContain("the end");
  });
});
