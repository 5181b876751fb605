import { expect, setDefaultTimeout, test } from "bun:test";
import type { GenerationMetrics, Instance, RuntimeState } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";
import { expectedAnswer } from "../support/expected.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The client with a real model behind it, and configs of backends whose models need more than this machine may have. */

setDefaultTimeout(120_000);

/** As flags; a list is written with commas. */
const flagsOf = (config: Record<string, unknown>): string[] =>
  Object.entries(config).flatMap(([name, value]) => [`--${name.replaceAll("_", "-")}`, String(value)]);

test("a real model is created from flags, looked at, talked to and deleted", async () => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer() });
  const ctl = Ctl.of(daemon);
  const config = { model: tinyModel, alias: "tiny", api_key: "its-key", host: "127.0.0.1", ctx_size: 512, threads: 1 };
  const id = (await ctl.ok(["create", "llamacpp", ...flagsOf(config), "--start", "--wait"])).trim();
  const { port, status, config: stored } = await ctl.json<Instance>(["get", "tiny"]);
  expect(stored).toMatchObject(config);
  expect(status).toBe("running");
  expect(await ctl.ok(["health", "tiny"])).toContain(`healthy  port ${port}`);
  expect(await ctl.json<RuntimeState>(["state", "tiny"])).toMatchObject({
    instance_id: id,
    phase: "idle",
    busy: false,
  });
  expect((await ctl.run(["last", "tiny"])).code).toBe(4);

  const question = "What is Solar Host?";
  const expected = expectedAnswer(question);
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer its-key" },
    body: JSON.stringify({ messages: [{ role: "user", content: question }], temperature: 0 }),
  });
  expect(await answer.text()).toContain(JSON.stringify(expected.answer));
  // Figures come with the log, a moment after the answer of the model.
  await until("the generation to be known", async () => (await ctl.run(["last", "tiny"])).code === 0);
  expect(await ctl.json<GenerationMetrics>(["last", "tiny"])).toMatchObject({
    generated_tokens: expected.completion_tokens,
  });
  expect(await ctl.ok(["last", "tiny"])).toMatch(new RegExp(`^tiny .* ${expected.completion_tokens} .* ago$`, "m"));
  expect(await ctl.ok(["state", "tiny"])).toMatch(/^tiny +.* idle /m);

  expect(await ctl.ok(["logs", "tiny", "--tail", "all", "--grep", "model loaded"])).toContain("model loaded");
  // Nothing more is written to it then.
  await ctl.ok(["stop", "tiny"]);
  const tail = (await ctl.ok(["logs", "tiny", "-n", "5"])).trimEnd().split("\n");
  expect(tail).toEqual((await daemon.logs(id, "?tail=5")).map(({ line }) => line));
  await ctl.ok(["rm", "tiny"]);
  expect(await ctl.json<Instance[]>(["ls"])).toEqual([]);
});

test.each([
  [
    "huggingface_causal",
    {
      model_id: "org/model",
      alias: "causal",
      device: "cpu",
      dtype: "bfloat16",
      max_length: 128,
      trust_remote_code: true,
      use_flash_attention: false,
      host: "127.0.0.1",
      port: 34_568,
      api_key: "k",
      priority: 3,
    },
  ],
  [
    "huggingface_classification",
    {
      model_id: "org/model",
      alias: "classes",
      device: "cpu",
      dtype: "float32",
      max_length: 64,
      labels: ["good", "not so good"],
      trust_remote_code: false,
      host: "127.0.0.1",
      port: 34_569,
      api_key: "k",
      priority: 4,
    },
  ],
])("each field of %s has a flag, and what was given is what is stored", async (backend, config) => {
  await using daemon = await TestDaemon.start();
  const ctl = Ctl.of(daemon);
  const id = (await ctl.ok(["create", backend, ...flagsOf(config)])).trim();
  const { config: stored } = await daemon.get(id);
  expect(stored as Record<string, unknown>).toEqual({ backend_type: backend, ...config });
});
