import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { identify } from "../../src/process/identity.ts";
import { TestDaemon } from "../support/daemon.ts";
import { root } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The two HuggingFace backends through the daemon: the real transformers, on the shipped models. */

const KEY = "instance-key";
/** Importing torch takes a while on a busy machine. */
const START_SECONDS = 120;
const LIMIT_MS = 150_000;

const python = join(root, ".venv/bin/python");
const models = join(root, "test/fixtures/models");

interface Expected {
  chat: { messages: unknown[]; answer: string; prompt_tokens: number; completion_tokens: number }[];
  classification: { text: string; label: string; score: number }[];
}

const expected: Expected = await Bun.file(join(models, "expected.json")).json();

const post = (instance: Instance, path: string, body: unknown): Promise<Response> =>
  fetch(`http://127.0.0.1:${instance.port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const listening = { api_key: KEY, host: "127.0.0.1" };
const causalConfig = {
  backend_type: "huggingface_causal",
  model_id: join(models, "solar-tiny"),
  alias: "hf-tiny",
  ...listening,
};
const classifierConfig = {
  backend_type: "huggingface_classification",
  model_id: join(models, "solar-sentiment"),
  alias: "sentiment",
  ...listening,
};

describe("with the real transformers", () => {
  let daemon: TestDaemon;
  let causal: Instance;
  let classifier: Instance;

  beforeAll(async () => {
    if (!existsSync(python)) throw new Error("no Python environment: run ./scripts/test");
    daemon = await TestDaemon.start({ env: { PYTHON: python } });
    const ids = [(await daemon.create(causalConfig)).id, (await daemon.create(classifierConfig)).id];
    const answers = await Promise.all(ids.map((id) => daemon.start(id, START_SECONDS)));
    for (const answer of answers) if (answer.status !== 200) throw new Error(answer.body.detail);
    [causal, classifier] = answers.map((answer) => answer.body.instance) as [Instance, Instance];
  }, LIMIT_MS);

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  test("both run, with the endpoints that they have", () => {
    expect(causal).toMatchObject({ status: "running", error_message: null, loading: null });
    expect(causal.supported_endpoints).toEqual(["/v1/chat/completions", "/v1/completions", "/v1/models", "/health"]);
    expect(classifier).toMatchObject({ status: "running", error_message: null });
    expect(classifier.supported_endpoints).toEqual(["/v1/classify", "/v1/models", "/health"]);
  });

  test("the same weights give the same greedy words as llama-server does", async () => {
    for (const { messages, answer } of expected.chat.slice(0, 4)) {
      const given = await (
        await post(causal, "/v1/chat/completions", { model: "hf-tiny", messages, temperature: 0 })
      ).json();
      expect((given as { choices: { message: { content: string } }[] }).choices[0]?.message.content).toBe(answer);
    }
  });

  test("sentences that it never saw are told apart, each with its score", async () => {
    const known = expected.classification;
    const given = (await (
      await post(classifier, "/v1/classify", { model: "sentiment", input: known.map(({ text }) => text) })
    ).json()) as { choices: { label: string; score: number }[] };
    expect(given.choices.map(({ label }) => label)).toEqual(known.map(({ label }) => label));
    for (const [i, { score }] of known.entries()) expect(given.choices[i]?.score).toBeCloseTo(score, 2);
  });

  test("a generation shows in the state, and its figures are the server's own", async () => {
    const longest = expected.chat.toSorted((a, b) => b.completion_tokens - a.completion_tokens)[0];
    const socket = daemon.socket(`/instances/${causal.id}/state`);
    await until("the first frame", () => socket.frames.length > 0);
    const answer = await post(causal, "/v1/chat/completions", {
      model: "hf-tiny",
      messages: longest?.messages,
      temperature: 0,
      max_tokens: 512,
    });
    const { usage } = (await answer.json()) as { usage: { prompt_tokens: number; completion_tokens: number } };
    const last = await until("the generation", async () => {
      const found = await daemon.lastGeneration(causal.id);
      return found.body.generated_tokens === usage.completion_tokens ? found.body : null;
    });
    expect(last.prompt_tokens).toBe(usage.prompt_tokens);
    expect(last.decode_tps).toBeGreaterThan(0);
    await until("idle again", async () => !(await daemon.state(causal.id)).busy);
    const phases = socket.frames.map((frame) => (frame.data as { phase: string }).phase);
    // Each phase, however short it was on this machine.
    expect(phases.filter((phase, at) => phase !== phases[at - 1])).toEqual(["idle", "prefill", "generating", "idle"]);
    socket.close();
  });

  test("its log tells how it loaded and holds no prompt and no key", async () => {
    const lines = (await daemon.logs(causal.id, "?after=-1&limit=10000")).map(({ line }) => line);
    expect(lines.some((line) => line.startsWith("solar: loading stage="))).toBe(true);
    expect(lines.some((line) => /^solar: ready device=\S+ dtype=\S+ attention=\S+/.test(line))).toBe(true);
    expect(lines.join("\n")).not.toContain(KEY);
    expect(lines.join("\n")).not.toContain("Hello");
    expect(await Bun.file(`/proc/${causal.pid}/cmdline`).text()).not.toContain(KEY);
  });

  test("a killed daemon's Python servers are taken over and answer on", async () => {
    await daemon.kill();
    daemon = await daemon.again();
    expect(await daemon.get(causal.id)).toMatchObject({
      status: "running",
      pid: causal.pid,
      started_at: causal.started_at,
    });
    expect((await daemon.lastGeneration(causal.id)).status).toBe(200);
    expect(
      (await post(classifier, "/v1/classify", { model: "sentiment", input: "What a beautiful day!" })).status,
    ).toBe(200);
  });

  test("a stop during a generation: the client is told, and the server ends by itself", async () => {
    await using short = await TestDaemon.start({ env: { PYTHON: python, STOP_TIMEOUT: "5" } });
    const { id } = await short.create({ ...causalConfig, alias: "hf-stopped", max_length: 8192 });
    const { instance } = (await short.start(id, START_SECONDS)).body;
    const endless = { prompt: "x", max_tokens: 8000, ignore_eos: true, n: 64 };
    const answer = post(instance as Instance, "/v1/completions", endless);
    await until("the generation", async () => (await short.state(id)).busy);
    await short.stop(id);
    expect((await answer).status).toBe(503);
    const lines = (await short.logs(id, "?after=-1&limit=10000")).map(({ line }) => line);
    expect(lines.at(-1)).toBe("solar: stopped");
    expect(lines.filter((line) => line.includes("Traceback"))).toEqual([]);
  }, 150_000);

  test("a stop leaves nothing of either", async () => {
    await Promise.all([daemon.stop(causal.id), daemon.stop(classifier.id)]);
    expect(identify(causal.pid ?? 0)).toBeNull();
    expect(identify(classifier.pid ?? 0)).toBeNull();
  });
});

test(
  "no file of the daemon's folder runs in place of a module: of Python, of a package, of ours; relative models and the user's PYTHONPATH go on working",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "solar-modules-"));
    const trapped = join(dir, "trapped");
    const trap = `open(${JSON.stringify(trapped)}, "a").write(__name__ + " ")\nraise SystemExit(9)\n`;
    const names = ["types", "json", "runpy", "torch", "transformers", "uvicorn", "sitecustomize", "text", "state"];
    for (const name of names) writeFileSync(join(dir, `${name}.py`), trap);
    for (const name of ["solar_pyserver", "pydantic"]) {
      mkdirSync(join(dir, name));
      for (const file of ["__init__.py", "__main__.py"]) writeFileSync(join(dir, name, file), trap);
    }
    const mine = join(dir, "mine");
    mkdirSync(mine);
    writeFileSync(join(mine, "usercustomize.py"), `open(${JSON.stringify(join(dir, "found"))}, "w").close()\n`);
    writeFileSync(join(mine, "sitecustomize.py"), "import usercustomize\n");
    symlinkSync(join(models, "solar-sentiment"), join(dir, "model"));
    await using daemon = await TestDaemon.start({ dir, env: { PYTHON: python, PYTHONPATH: `:${mine}` } });
    const { id } = await daemon.create({ ...classifierConfig, model_id: "model" });
    const { status, body } = await daemon.start(id, START_SECONDS);
    expect([existsSync(trapped) && readFileSync(trapped, "utf8"), body.detail ?? status]).toEqual([false, 200]);
    expect(existsSync(join(dir, "found"))).toBe(true);
  },
  LIMIT_MS,
);

describe("what a start lacks is named", () => {
  let daemon: TestDaemon;

  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
  });

  test(
    "a Python without torch: the module, and the command that installs it; it is not tried twice",
    async () => {
      // A virtual environment of its own, with nothing in it.
      const dir = mkdtempSync(join(tmpdir(), "solar-venv-"));
      expect(Bun.spawnSync([python, "-m", "venv", "--without-pip", dir]).exitCode).toBe(0);
      daemon = await TestDaemon.start({ env: { VIRTUAL_ENV: dir } });
      const { id } = await daemon.create(causalConfig);
      const answer = await daemon.start(id, START_SECONDS);
      expect(answer.status).toBe(500);
      expect(answer.body.detail).toMatch(/torch|transformers|starlette|uvicorn|pydantic/);
      expect(answer.body.detail).toContain("pip install");
      expect((await daemon.get(id)).retry_count).toBe(1);
      // The package was unpacked into the cache of its user, once.
      expect(
        readdirSync(join(daemon.dir, ".cache/solar-host")).filter((name) => name.startsWith("pyserver-")),
      ).toHaveLength(1);
      rmSync(dir, { recursive: true, force: true });
    },
    LIMIT_MS,
  );

  test("no Python at all", async () => {
    await using none = await TestDaemon.start({ env: { PYTHON: "/no/such/python" } });
    const { id } = await none.create(classifierConfig);
    const answer = await none.start(id);
    expect(answer.body.detail).toBe(
      "Failed to start instance: python not found: no such file: '/no/such/python'; PYTHON names it (in .env or the environment, or with serve --python)",
    );
  });

  test(
    "a file in place of a folder, and labels that do not fit; neither is tried twice",
    async () => {
      await using lacking = await TestDaemon.start({ env: { PYTHON: python } });
      const file = join(lacking.dir, "model.gguf");
      writeFileSync(file, "");
      const config = { ...classifierConfig, labels: ["only one"] };
      const ids = [(await lacking.create({ ...causalConfig, model_id: file })).id, (await lacking.create(config)).id];
      const [noModel, badLabels] = await Promise.all(ids.map((id) => lacking.start(id, START_SECONDS)));
      expect(noModel?.body.detail).toContain("exited with code 7");
      expect(noModel?.body.detail).toContain("it is a file, and a model is a folder");
      expect(badLabels?.body.detail).toContain("exited with code 6");
      expect(badLabels?.body.detail).toMatch(/label/);
      const instances = await Promise.all(ids.map((id) => lacking.get(id)));
      expect(instances.map(({ retry_count }) => retry_count)).toEqual([1, 1]);
    },
    LIMIT_MS,
  );
});
