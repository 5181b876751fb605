import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { identify } from "../../src/process/identity.ts";
import { TestDaemon } from "../support/daemon.ts";
import { realServer, root, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The main job on real parts: the built binary, the real llama-server, a real model. */

interface Expected {
  chat: { messages: unknown[]; answer: string; prompt_tokens: number; completion_tokens: number }[];
}

const expected: Expected = await Bun.file(join(root, "test/fixtures/models/expected.json")).json();
const [firstChat] = expected.chat;
/** The longest answer: it takes long enough to be watched. */
const longChat = expected.chat.toSorted((a, b) => b.completion_tokens - a.completion_tokens)[0];
if (firstChat === undefined || longChat === undefined) throw new Error("expected.json holds no chats");

const KEY = "instance-key";

const chat = (instance: Instance, body: Record<string, unknown>): Promise<Response> =>
  fetch(`http://127.0.0.1:${instance.port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ temperature: 0, ...body }),
  });

/** Whether it runs; a zombie that nobody has waited for yet does not. */
const isAlive = (pid: number): boolean => identify(pid) !== null;

interface Completion {
  choices: { message: { content: string } }[];
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } };
}

const chatAnswer = async (instance: Instance, body: Record<string, unknown>): Promise<Completion> =>
  (await (await chat(instance, body)).json()) as Completion;

describe("with the real llama-server", () => {
  let daemon: TestDaemon;
  let tiny: Instance;

  beforeAll(async () => {
    daemon = await TestDaemon.start({ llamaServer: realServer() });
    const config = { model: tinyModel, alias: "tiny", api_key: KEY, host: "127.0.0.1", ctx_size: 2048 };
    tiny = (await daemon.start((await daemon.create(config)).id)).body.instance;
  });

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  test("a started instance runs on a port of ours and answers in the words that the model was taught", async () => {
    expect(tiny.status).toBe("running");
    expect(tiny.port).toBeGreaterThan(0);
    expect(tiny.started_at).not.toBeNull();
    const answer = await chatAnswer(tiny, { messages: firstChat.messages });
    expect(answer.choices[0]?.message.content).toBe(firstChat.answer);
  });

  test("a streamed answer arrives piece by piece and is the same", async () => {
    const answer = await chat(tiny, { messages: firstChat.messages, stream: true });
    const events = (await answer.text()).split("\n\n").flatMap((event) => {
      const data = event.replace(/^data: /, "");
      return data === "" || data === "[DONE]" ? [] : [JSON.parse(data)];
    });
    expect(events.length).toBeGreaterThan(3);
    expect(events.map((event) => event.choices[0]?.delta?.content ?? "").join("")).toBe(firstChat.answer);
  });

  test("its key is asked for on its own port", async () => {
    const refused = await fetch(`http://127.0.0.1:${tiny.port}/v1/models`);
    expect(refused.status).toBe(401);
  });

  test("the figures of the last generation are the server's own", async () => {
    const before = new Date().toISOString();
    const { usage } = await chatAnswer(tiny, { messages: longChat.messages, max_tokens: 512 });
    const last = await until("the generation", async () => {
      const answer = await daemon.lastGeneration(tiny.id, `?after=${before}`);
      // The one of the test before may finish in the log only now.
      return answer.status === 200 && answer.body.generated_tokens === usage.completion_tokens ? answer.body : null;
    });
    expect(last.prompt_tokens).toBe(usage.prompt_tokens);
    expect(last.generated_tokens).toBe(usage.completion_tokens);
    expect(last.cached_tokens).toBe(usage.prompt_tokens_details.cached_tokens);
    expect(last.decode_tps).toBeGreaterThan(0);
    expect(Date.parse(last.finished_at ?? "")).toBeGreaterThanOrEqual(Date.parse(last.started_at ?? ""));

    const later = new Date(Date.now() + 60_000).toISOString();
    const none = await daemon.lastGeneration(tiny.id, `?after=${later}`);
    expect(none).toEqual({
      status: 404,
      body: { detail: "No generation metrics after the specified timestamp" } as never,
    });
  });

  test("a WebSocket shows the state change while it generates, and idle in the end", async () => {
    const socket = daemon.socket(`/instances/${tiny.id}/state`);
    await until("the first frame", () => socket.frames.length > 0);
    expect(socket.frames[0]).toMatchObject({
      type: "instance_state",
      data: { busy: false, phase: "idle", active_slots: 0 },
    });
    await (await chat(tiny, { messages: longChat.messages, max_tokens: 512 })).text();
    const idle = (frame: Record<string, unknown> | undefined): boolean =>
      (frame?.data as { busy: boolean } | undefined)?.busy === false;
    await until("idle again", () => socket.frames.length > 1 && idle(socket.frames.at(-1)));
    const later = socket.frames.slice(1);
    expect(later.some((frame) => (frame.data as { busy: boolean }).busy)).toBe(true);
    const seqs = later.map((frame) => frame.seq as number);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    socket.close();
  });

  test("a slow generation shows its tokens grow, from /slots while its log says that it is busy", async () => {
    const aborted = new AbortController();
    // Nobody reads so much: it goes on until it is cut off.
    const endless = fetch(`http://127.0.0.1:${tiny.port}/completion`, {
      method: "POST",
      signal: aborted.signal,
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: JSON.stringify({
        prompt: "Once upon a time",
        n_predict: 100_000,
        ignore_eos: true,
        stream: true,
        n_probs: 100,
      }),
    }).then((answer) => answer.text());
    endless.catch(() => undefined);
    const first = await until("tokens", async () => {
      const state = await daemon.state(tiny.id);
      return state.phase === "generating" && (state.generated_tokens ?? 0) > 0 ? state : null;
    });
    const second = await until("more tokens", async () => {
      const state = await daemon.state(tiny.id);
      return (state.generated_tokens ?? 0) > (first.generated_tokens ?? 0) ? state : null;
    });
    expect(second.busy).toBe(true);
    expect(second.active_slots).toBe(1);
    expect(second.slots[0]).toMatchObject({ phase: "generating", slot_id: second.slot_id });
    aborted.abort();
    await until("idle", async () => (await daemon.state(tiny.id)).phase === "idle");
  });

  test("its log comes over the WebSocket and over REST with the same numbers and times", async () => {
    const socket = daemon.socket(`/instances/${tiny.id}/logs?tail=20`);
    await until("the replay", () => socket.frames.length >= 20);
    const [first] = socket.frames;
    const page = await daemon.logs(tiny.id, `?after=${(first?.seq as number) - 1}&limit=20`);
    expect(socket.frames.slice(0, 20)).toEqual(page as never);
    expect((await daemon.logs(tiny.id, "?after=-1&limit=5")).map((line) => line.seq)).toEqual([0, 1, 2, 3, 4]);
    socket.close();
  });

  test("a restart gives a new process, and line numbers that go on", async () => {
    const before = (await daemon.logs(tiny.id, "?tail=1"))[0]?.seq ?? -1;
    const answer = await daemon.request<{ instance: Instance }>("POST", `/instances/${tiny.id}/restart`);
    expect(answer.status).toBe(200);
    expect(answer.body.instance.status).toBe("running");
    expect(answer.body.instance.pid).not.toBe(tiny.pid);
    expect(isAlive(tiny.pid ?? 0)).toBe(false);
    tiny = answer.body.instance;
    const lines = await until("the log of the new process", async () => {
      const page = await daemon.logs(tiny.id, `?after=${before}`);
      return page.some(({ line }) => line.includes("model loaded")) ? page : null;
    });
    expect(lines[0]?.seq).toBe(before + 1);
  });

  test("a server that is killed is reported with its signal and started again by itself", async () => {
    process.kill(tiny.pid ?? 0, "SIGKILL");
    const waiting = await until("the crash to be noticed", async () => {
      const instance = await daemon.get(tiny.id);
      return instance.status === "starting" && instance.error_message !== null ? instance : null;
    });
    expect(waiting.error_message).toContain("SIGKILL");
    expect(waiting.error_message).toContain("next attempt");
    expect(waiting.retry_count).toBe(1);
    const again = await daemon.whenStatus(tiny.id, "running");
    expect(again.pid).not.toBe(tiny.pid);
    const answer = await chatAnswer(again, { messages: firstChat.messages });
    expect(answer.choices[0]?.message.content).toBe(firstChat.answer);
    tiny = again;
  });

  test("a model that cannot be loaded fails with the server's own reason", async () => {
    const model = join(daemon.dir, "broken.gguf");
    writeFileSync(model, "GGUF and then nothing of the kind");
    const broken = await daemon.create({ model, alias: "broken", api_key: KEY, host: "127.0.0.1" });
    const answer = await daemon.start(broken.id);
    expect(answer.status).toBe(500);
    expect(answer.body.detail).toStartWith("Failed to start instance: the model server exited with code 1: ");
    expect(answer.body.detail).toMatch(/gguf|model/i);
    const failed = await daemon.get(broken.id);
    expect(failed).toMatchObject({ status: "failed", port: null, pid: null, retry_count: 2 });
    expect(answer.body.detail).toBe(`Failed to start instance: ${failed.error_message}`);
  });

  test("the key is nowhere that others can see: not in argv, not in the log", async () => {
    const argv = await Bun.file(`/proc/${tiny.pid}/cmdline`).text();
    expect(argv).toContain("--model");
    expect(argv).not.toContain(KEY);
    expect(JSON.stringify(await daemon.logs(tiny.id, "?after=-1&limit=10000"))).not.toContain(KEY);
  });

  test("a stopped instance leaves nothing behind, and stopping again is as good", async () => {
    const answer = await daemon.stop(tiny.id);
    expect(answer.status).toBe(200);
    expect(answer.body.instance).toMatchObject({ status: "stopped", port: null, pid: null, error_message: null });
    expect(isAlive(tiny.pid ?? 0)).toBe(false);
    expect((await daemon.stop(tiny.id)).status).toBe(200);
  });
});

test("the daemon's SIGTERM stops everything though sockets are open, and the next daemon starts what ran", async () => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer() });
  const config = { model: tinyModel, alias: "tiny", api_key: KEY, host: "127.0.0.1", ctx_size: 2048 };
  const { id } = await daemon.create(config);
  const { pid } = (await daemon.start(id)).body.instance;
  const stopped = await daemon.create({ ...config, alias: "not-started" });
  const logs = daemon.socket(`/instances/${id}/logs`);
  const state = daemon.socket(`/instances/${id}/state`);
  await Promise.all([logs.opened, state.opened]);
  const last = (await daemon.logs(id, "?tail=1"))[0]?.seq ?? -1;

  expect(await daemon.end()).toBe(0);
  expect(isAlive(pid ?? 0)).toBe(false);
  expect((await logs.closed).code).toBe(1001);

  await using next = await daemon.again();
  const running = await next.whenStatus(id, "running");
  expect(running.pid).not.toBe(pid);
  expect((await next.get(stopped.id)).status).toBe("stopped");
  const lines = await next.logs(id, `?after=${last}`);
  expect(lines[0]?.seq).toBe(last + 1);
});

test("a daemon that is killed leaves its models serving, and the next one takes them over as they are", async () => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer() });
  const config = { model: tinyModel, alias: "tiny", api_key: KEY, host: "127.0.0.1", ctx_size: 2048 };
  const { id } = await daemon.create(config);
  const before = (await daemon.start(id)).body.instance;
  await (await chat(before, { messages: firstChat.messages })).text();
  const seen = await until("the generation's lines", async () => {
    const lines = await daemon.logs(id, "?after=-1&limit=10000");
    return lines.some(({ line }) => line.includes("stop processing")) ? lines : null;
  });
  await daemon.kill();

  // It serves on, with no daemon there.
  const meanwhile = await chatAnswer(before, { messages: firstChat.messages });
  expect(meanwhile.choices[0]?.message.content).toBe(firstChat.answer);

  await using next = await daemon.again();
  const after = await next.get(id);
  expect(after).toEqual(before);
  const all = await until("the lines of meanwhile", async () => {
    const lines = await next.logs(id, "?after=-1&limit=10000");
    return lines.filter(({ line }) => line.includes("stop processing")).length >= 2 ? lines : null;
  });
  expect(all.slice(0, seen.length)).toEqual(seen);
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i));
  expect((await next.lastGeneration(id)).body.generated_tokens).toBe(firstChat.completion_tokens);
  await next.stop(id);
  expect(isAlive(before.pid ?? 0)).toBe(false);
});

test("with KEEP_INSTANCES an orderly end drops no model", async () => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer(), env: { KEEP_INSTANCES: "true" } });
  const { id } = await daemon.create({
    model: tinyModel,
    alias: "tiny",
    api_key: KEY,
    host: "127.0.0.1",
    ctx_size: 2048,
  });
  const before = (await daemon.start(id)).body.instance;
  expect(await daemon.end()).toBe(0);
  expect((await chat(before, { messages: firstChat.messages })).status).toBe(200);
  await using next = await daemon.again({ env: {} });
  expect(await next.get(id)).toEqual(before);
  await next.end();
  expect(isAlive(before.pid ?? 0)).toBe(false);
});
