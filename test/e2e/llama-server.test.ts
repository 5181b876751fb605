import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GenerationMetrics, Instance, RuntimeState } from "../../src/contract/index.ts";
import { TestDaemon, type TestSocket } from "../support/daemon.ts";
import { expectedAnswer } from "../support/expected.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The built daemon with a real llama-server and the model that the project ships. */

setDefaultTimeout(120_000);

const llamaServer = realServer();
const API_KEY = "instance-key";

const startDaemon = (env: Record<string, string> = {}): Promise<TestDaemon> => TestDaemon.start({ llamaServer, env });

const config = (changes: Record<string, unknown> = {}) => ({
  model: tinyModel,
  alias: "solar-tiny",
  api_key: API_KEY,
  host: "127.0.0.1",
  ctx_size: 8192,
  threads: 1,
  temp: 0,
  ...changes,
});

const running = async (daemon: TestDaemon, changes: Record<string, unknown> = {}): Promise<Instance> => {
  const { id } = await daemon.create(config(changes));
  const { status, body } = await daemon.start(id);
  expect([status, body.detail]).toEqual([200, undefined as never]);
  return body.instance;
};

interface Chat {
  choices: { message: { content: string }; delta?: { content?: string } }[];
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens: number } };
  timings: { predicted_n: number; predicted_per_second: number; predicted_per_token_ms: number; cache_n: number };
}

const ask = ({ port }: Instance, body: Record<string, unknown>, signal?: AbortSignal): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ temperature: 0, max_tokens: 512, ...body }),
    ...(signal === undefined ? {} : { signal }),
  });

const chat = async (instance: Instance, question: string, more: Record<string, unknown> = {}): Promise<Chat> =>
  (await (await ask(instance, { messages: [{ role: "user", content: question }], ...more })).json()) as Chat;

/** Asks again and again, so that the server is at work for as long as a test needs, however fast it is. */
const keepAtWork = (instance: Instance, question: string): { end(): Promise<void> } => {
  const controller = new AbortController();
  const messages = [{ role: "user", content: question }];
  const body = { messages, max_tokens: 7000, ignore_eos: true, stream: true };
  const asking = (async () => {
    // A server that is gone is not asked again.
    while (!controller.signal.aborted) await (await ask(instance, body, controller.signal)).arrayBuffer();
  })().catch(() => undefined);
  return {
    end: async () => {
      controller.abort();
      await asking;
    },
  };
};

/** Does something while the server stands still, so that what it was doing is not over before that. */
const whileStopped = async <T>({ pid }: Instance, work: () => Promise<T>): Promise<T> => {
  process.kill(pid ?? 2 ** 30, "SIGSTOP");
  try {
    return await work();
  } finally {
    process.kill(pid ?? 2 ** 30, "SIGCONT");
  }
};

/** The events of a streamed answer. */
const streamed = async function* (answer: Response): AsyncGenerator<Chat> {
  if (answer.body === null) throw new Error("no body");
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of answer.body) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) if (!event.includes("[DONE]")) yield JSON.parse(event.replace(/^data: /, "")) as Chat;
  }
};

const statesOf = (socket: TestSocket): RuntimeState[] => socket.frames.map(({ data }) => data as RuntimeState);

describe.concurrent("a model", () => {
  test("is created, started and chats, whole and streamed, through its own port with its own key", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    expect(instance).toMatchObject({ status: "running", error_message: null });
    const question = "What is Solar Host?";
    const { answer, prompt_tokens, completion_tokens } = expectedAnswer(question);
    expect(answer).toContain("model servers");
    const whole = await chat(instance, question);
    expect(whole.choices[0]?.message.content).toBe(answer);
    expect(whole.usage).toMatchObject({ prompt_tokens, completion_tokens });
    let text = "";
    let pieces = 0;
    for await (const event of streamed(
      await ask(instance, { messages: [{ role: "user", content: question }], stream: true }),
    )) {
      text += event.choices[0]?.delta?.content ?? "";
      pieces += 1;
    }
    expect(text).toBe(answer);
    expect(pieces).toBeGreaterThan(10);

    const models = (key: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${instance.port}/v1/models`, { headers: { Authorization: `Bearer ${key}` } });
    expect((await models("wrong")).status).toBe(401);
    const listed = (await (await models(API_KEY)).json()) as { data: { id: string }[] };
    expect(listed.data[0]?.id).toBe("solar-tiny");
  });

  test("has its key in no argument and in no log", async () => {
    await using daemon = await startDaemon({ LOG_LEVEL: "debug" });
    const secret = "very-secret-key-of-it";
    const instance = await running(daemon, { api_key: secret });
    const command = readFileSync(`/proc/${instance.pid}/cmdline`, "utf8");
    expect(command).toContain("--model");
    expect(command).not.toContain(secret);
    expect(readFileSync(instance.log_file ?? "", "utf8")).not.toContain(secret);
    expect(daemon.stderr).not.toContain(secret);
  });

  test("keeps its lines numbered over a restart, and its log is the same by WebSocket and by REST", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    const socket = daemon.socket(`/instances/${instance.id}/logs`);
    await chat(instance, "Hello");
    await until("the end of the task", () => socket.frames.some(({ line }) => /slot\s+release/.test(String(line))));
    const restart = await daemon.request<{ instance: Instance }>("POST", `/instances/${instance.id}/restart`);
    expect(restart.status).toBe(200);
    const listening = (): number => socket.frames.filter(({ line }) => String(line).includes("listening on")).length;
    await until("the second start", () => listening() === 2);
    expect(socket.frames.findIndex(({ seq }, n) => seq !== n)).toBe(-1);
    const lines = await daemon.logs(instance.id, "?after=-1");
    expect(lines.slice(0, socket.frames.length)).toEqual(socket.frames as never);
    expect((await chat(restart.body.instance, "Hello")).choices[0]?.message.content).toBe(
      expectedAnswer("Hello").answer,
    );
  });

  test("that crashes is told of, comes back by itself, and chats again", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    process.kill(instance.pid ?? 2 ** 30, "SIGKILL");
    const told = await until("the daemon to tell", () => /running -> starting: (.*)/.exec(daemon.stderr)?.[1]);
    expect(told).toContain("crash 1 of 5 in a row: the model server was killed by SIGKILL");
    const again = await until("another process", async () => {
      const now = await daemon.get(instance.id);
      return now.status === "running" && now.pid !== instance.pid ? now : null;
    });
    expect(again.retry_count).toBe(1);
    expect((await chat(again, "Hello")).choices[0]?.message.content).toBe(expectedAnswer("Hello").answer);
  });

  test("that served when the daemon was killed serves on, is taken over and chats", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    await daemon.kill();
    const { answer } = expectedAnswer("Who are you?");
    expect((await chat(instance, "Who are you?")).choices[0]?.message.content).toBe(answer);
    await using next = await daemon.again();
    const { pid, port, started_at } = instance;
    expect(await next.get(instance.id)).toMatchObject({ status: "running", pid, port, started_at });
    // What it did while no client looked is known.
    const figures = await until("the figures", async () => {
      const got = await next.lastGeneration(instance.id);
      return got.status === 200 ? got.body : null;
    });
    expect(figures).toMatchObject({ generated_tokens: expectedAnswer("Who are you?").completion_tokens });
    expect((await chat(instance, "Hello")).choices[0]?.message.content).toBe(expectedAnswer("Hello").answer);
    expect((await next.stop(instance.id)).body.instance.status).toBe("stopped");
  });

  test("ends within the grace time though a client still reads a stream, and the daemon too", async () => {
    await using daemon = await startDaemon({ STOP_TIMEOUT: "2" });
    const instance = await running(daemon);
    const answer = await ask(instance, {
      messages: [{ role: "user", content: "Count to one hundred." }],
      stream: true,
      max_tokens: 7000,
      ignore_eos: true,
    });
    const socket = daemon.socket(`/instances/${instance.id}/state`);
    await until("it to be at work", () => statesOf(socket).some(({ busy }) => busy));
    const began = performance.now();
    expect(await daemon.end()).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    await answer.body?.cancel().catch(() => undefined);
    await socket.closed;
  });
});

describe("what a model is doing", () => {
  test("is seen over the WebSocket: prefill, generating with more and more tokens, and idle again", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    const socket = daemon.socket(`/instances/${instance.id}/state`);
    await until("the first frame", () => socket.frames.length === 1);
    expect(socket.frames[0]).toEqual({
      type: "instance_state",
      data: {
        instance_id: instance.id,
        busy: false,
        phase: "idle",
        active_slots: 0,
        slot_id: null,
        task_id: null,
        prefill_progress: null,
        prefill_prompt_tokens: null,
        generated_tokens: null,
        decode_tps: null,
        decode_ms_per_token: null,
        checkpoint_index: null,
        checkpoint_total: null,
        timestamp: expect.any(String),
        slots: [],
      },
    });
    const question = "What is the sun? ".repeat(100);
    const answer = chat(instance, question, { max_tokens: 7000, ignore_eos: true, logprobs: true, top_logprobs: 5 });
    await until("it to generate", () => statesOf(socket).some(({ phase }) => phase === "generating"));
    await whileStopped(instance, () =>
      until("who asks to be told the same as who listens", async () => {
        const { phase } = await daemon.state(instance.id);
        return phase === statesOf(socket).at(-1)?.phase;
      }),
    );
    const { usage } = await answer;
    await until("it to be idle", () => statesOf(socket).at(-1)?.phase === "idle");
    const states = statesOf(socket).slice(1);
    const phases = states.map(({ phase }) => phase).filter((phase, n, all) => phase !== all[n - 1]);
    expect(phases).toEqual(["prefill", "generating", "idle"]);
    expect(
      states.every(({ busy, phase, active_slots }) => busy === (phase !== "idle") && active_slots === (busy ? 1 : 0)),
    ).toBe(true);
    const counts = states.flatMap(({ phase, generated_tokens }) =>
      phase === "generating" && generated_tokens !== null ? [generated_tokens] : [],
    );
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(new Set(counts).size).toBeGreaterThan(1);
    expect(counts.at(-1)).toBeLessThanOrEqual(usage.completion_tokens);
    const rates = states.flatMap(({ decode_tps }) => (decode_tps === null ? [] : [decode_tps]));
    expect(rates.length).toBeGreaterThan(0);
    expect(rates.every((rate) => rate > 0)).toBe(true);
    const frames = socket.frames.slice(1);
    expect(frames.every(({ seq }, n) => n === 0 || Number(seq) > Number(frames[n - 1]?.seq))).toBe(true);
    expect(frames.every(({ type, timestamp }) => type === "instance_state" && typeof timestamp === "string")).toBe(
      true,
    );
    expect(await daemon.state(instance.id)).toMatchObject({ busy: false, phase: "idle", slots: [] });
  });

  test("is told slot by slot where several are at work", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    const clients = ["Count to one hundred.", "Tell me a story."].map((question) => keepAtWork(instance, question));
    const both = await until("both to generate", async () => {
      const state = await daemon.state(instance.id);
      return state.slots.length === 2 && state.slots.every(({ phase }) => phase === "generating") ? state : null;
    });
    expect(both).toMatchObject({ busy: true, active_slots: 2, phase: "generating" });
    expect(new Set(both.slots.map(({ slot_id }) => slot_id)).size).toBe(2);
    expect(new Set(both.slots.map(({ task_id }) => task_id)).size).toBe(2);
    expect(both.slots.map(({ slot_id }) => slot_id)).toContain(both.slot_id as number);
    await Promise.all(clients.map((client) => client.end()));
    await until("it to be idle", async () => !(await daemon.state(instance.id)).busy);
  });

  test("is idle after a stop, and after a crash in the middle of a generation", async () => {
    await using daemon = await startDaemon({ STOP_TIMEOUT: "1" });
    const instance = await running(daemon);
    const busy = async (target: Instance): Promise<void> => {
      keepAtWork(target, "Count to one hundred.");
      await until("it to be at work", async () => (await daemon.state(target.id)).busy);
    };
    await busy(instance);
    process.kill(instance.pid ?? 2 ** 30, "SIGKILL");
    await until("it to be idle", async () => !(await daemon.state(instance.id)).busy);
    const again = await daemon.whenStatus(instance.id, "running");
    await busy(again);
    await daemon.stop(instance.id);
    expect(await daemon.state(instance.id)).toMatchObject({ busy: false, phase: "idle", active_slots: 0 });
  });
});

describe.concurrent("the figures of the last generation", () => {
  /** Those of the task after `before`. */
  const figuresAfter = (daemon: TestDaemon, { id }: Instance, before: GenerationMetrics | null) =>
    until("the figures", async () => {
      const { status, body } = await daemon.lastGeneration(id);
      return status === 200 && body.task_id !== before?.task_id ? body : null;
    });

  test("are those that the server itself answers with, the cached part of the prompt too", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    expect(await daemon.lastGeneration(instance.id)).toMatchObject({
      status: 404,
      body: { detail: "No generation metrics available" },
    });
    const before = Date.now();
    let last: GenerationMetrics | null = null;
    for (const question of ["Tell me a story.", "Count to ten.", "Count to ten."]) {
      const { usage, timings } = await chat(instance, question);
      const figures = await figuresAfter(daemon, instance, last);
      last = figures;
      expect([question, figures]).toEqual([
        question,
        {
          instance_id: instance.id,
          slot_id: expect.any(Number),
          task_id: expect.any(Number),
          prompt_tokens: usage.prompt_tokens,
          cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? timings.cache_n,
          generated_tokens: timings.predicted_n,
          decode_tps: expect.closeTo(timings.predicted_per_second, 1),
          decode_ms_per_token: expect.closeTo(timings.predicted_per_token_ms, 1),
          started_at: expect.any(String),
          finished_at: expect.any(String),
        } as never,
      ]);
      const all = await daemon.request<GenerationMetrics[]>("GET", `/instances/${instance.id}/generations`);
      expect(all.body[0]).toEqual(figures);
      const times = [
        before,
        Date.parse(figures.started_at ?? ""),
        Date.parse(figures.finished_at ?? ""),
        Date.now() + 1,
      ];
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }
  });

  test("are filtered by time and by age, each with its own word where nothing fits", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    await chat(instance, "Hello");
    const { finished_at } = await figuresAfter(daemon, instance, null);
    const at = Date.parse(finished_at ?? "");
    const query = async (text: string) => {
      const { status, body } = await daemon.lastGeneration(instance.id, text);
      return status === 200 ? status : [status, body.detail];
    };
    const iso = (ms: number): string => encodeURIComponent(new Date(ms).toISOString());
    expect(await query(`?after=${iso(at)}`)).toBe(200);
    expect(await query(`?after=${iso(at - 1000)}`)).toBe(200);
    // As Python writes it, without a zone and with microseconds; and with one whose + a URL made a blank of.
    expect(await query(`?after=${new Date(at - 1000).toISOString().replace("Z", "000")}`)).toBe(200);
    expect(await query(`?after=${new Date(at - 1000).toISOString().replace("Z", "+00:00")}`)).toBe(200);
    const none = [404, "No generation metrics after the specified timestamp"];
    expect(await query(`?after=${iso(at + 1)}`)).toEqual(none);
    expect(await query(`?after=${iso(at + 60_000)}&within_s=3600`)).toEqual(none);
    expect(await query("?within_s=3600")).toBe(200);
    await until("a second to pass", () => Date.now() > at + 1000);
    expect(await query("?within_s=1")).toEqual([404, "No recent generation metrics within the specified window"]);
    expect(await query("?within_s=0")).toEqual([404, "No recent generation metrics within the specified window"]);
    for (const wrong of ["?after=yesterday", "?within_s=-1", "?within_s=x", "?after="]) {
      const { status, body } = await daemon.lastGeneration(instance.id, wrong);
      expect([wrong, status, Array.isArray(body.detail)]).toEqual([wrong, 422, true]);
    }
  });

  test("of one that its client gave up are truthful or not there", async () => {
    await using daemon = await startDaemon();
    const instance = await running(daemon);
    const client = keepAtWork(instance, "Count to one hundred.");
    await until("it to be at work", async () => (await daemon.state(instance.id)).phase === "generating");
    await whileStopped(instance, () => client.end());
    await until("it to be idle", async () => !(await daemon.state(instance.id)).busy);
    const { status, body } = await daemon.lastGeneration(instance.id);
    if (status === 200) {
      expect(body.generated_tokens).toBeLessThanOrEqual(7000);
      expect(body.prompt_tokens).toBe(expectedAnswer("Count to one hundred.").prompt_tokens);
    } else expect([status, body.detail]).toEqual([404, "No generation metrics available"]);
    const { usage } = await chat(instance, "Hello");
    expect(await figuresAfter(daemon, instance, status === 200 ? body : null)).toMatchObject({
      prompt_tokens: usage.prompt_tokens,
      generated_tokens: usage.completion_tokens,
    });
  });
});

describe.concurrent("a start that cannot work says why", () => {
  const failureOf = async (daemon: TestDaemon, changes: Record<string, unknown>): Promise<string> => {
    const { id } = await daemon.create(config(changes));
    const { status, body } = await daemon.start(id);
    expect(status).toBe(500);
    const instance = await daemon.get(id);
    expect(instance.status).toBe("failed");
    expect(body.detail).toBe(`Failed to start instance: ${instance.error_message}`);
    return instance.error_message ?? "";
  };

  test("the model file: missing, a folder, noise, cut short", async () => {
    await using daemon = await startDaemon({ MAX_RETRIES: "1" });
    const file = (name: string): string => join(daemon.dir, name);
    mkdirSync(file("folder"));
    writeFileSync(file("noise.gguf"), Buffer.alloc(10_000, "noise "));
    writeFileSync(file("short.gguf"), readFileSync(tinyModel).subarray(0, 300_000));
    writeFileSync(file("empty.gguf"), "");
    expect(await failureOf(daemon, { model: file("none.gguf") })).toBe(`model: no such file: '${file("none.gguf")}'`);
    expect(await failureOf(daemon, { model: file("folder") })).toBe(`model: not a file: '${file("folder")}'`);
    for (const name of ["noise.gguf", "short.gguf", "empty.gguf"]) {
      const reason = await failureOf(daemon, { model: file(name) });
      expect(reason).toStartWith("the model server exited with code 1: ");
      expect(reason).toContain("failed to load model");
    }
  });

  test("the template: missing, broken", async () => {
    await using daemon = await startDaemon({ MAX_RETRIES: "1" });
    const template = join(daemon.dir, "broken.jinja");
    expect(await failureOf(daemon, { chat_template_file: template })).toBe(
      `chat_template_file: no such file: '${template}'`,
    );
    writeFileSync(template, "{% for x in %}");
    expect(await failureOf(daemon, { chat_template_file: template })).toMatch(
      /^the model server exited with code 1: ./,
    );
  });

  test("an address that is not this machine's, and a port that is taken", async () => {
    await using daemon = await startDaemon({ MAX_RETRIES: "1" });
    expect(await failureOf(daemon, { host: "192.0.2.1" })).toMatch(
      /^the model server exited with code 1: .*192\.0\.2\.1/,
    );
    const other = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data: () => undefined } });
    expect(await failureOf(daemon, { port: other.port })).toBe(
      `address in use: port ${other.port} is taken by another program`,
    );
    other.stop(true);
  });

  test("no llama-server on PATH", async () => {
    await using daemon = await TestDaemon.start({ llamaServer: "", env: { PATH: "/nowhere", MAX_RETRIES: "1" } });
    const reason = await failureOf(daemon, {});
    expect(reason).toBe(
      "llama-server not found: no 'llama-server' in any folder of PATH (/nowhere); put llama-server on the daemon's PATH, or set LLAMA_SERVER to its full path (in .env or the environment, or with serve --llama-server)",
    );
  });

  test("but works with every field of a config given", async () => {
    await using daemon = await startDaemon();
    const template = join(daemon.dir, "odd name; $(touch x).jinja");
    writeFileSync(template, "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
    chmodSync(template, 0o400);
    const model = join(daemon.dir, "--model with blanks & signs.gguf");
    writeFileSync(model, readFileSync(tinyModel));
    const instance = await running(daemon, {
      model,
      alias: "org/模型 $(x):8b",
      threads: 2,
      n_gpu_layers: 0,
      temp: 0.7,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      ctx_size: 2048,
      chat_template_file: template,
      special: true,
      host: "127.0.0.1",
    });
    const answer = await chat(instance, "Hello");
    expect(answer.usage.completion_tokens).toBeGreaterThan(0);
    const models = await fetch(`http://127.0.0.1:${instance.port}/v1/models`, {
      headers: { Authorization: `Bearer ${API_KEY}` },
    });
    expect(((await models.json()) as { data: { id: string }[] }).data[0]?.id).toBe("org/模型 $(x):8b");
  });
});
