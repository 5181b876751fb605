import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { CtlProcess } from "../support/ctl-process.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { until } from "../support/until.ts";

/** The client against a real daemon: what each verb prints, and with which exit code it ends. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

let daemon: TestDaemon;
let ctl: Ctl;

beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "2", MAX_RETRIES: "1" } });
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

let made = 0;
/** A name that no other begins. */
const fresh = (): string => `t${made++}-${crypto.randomUUID().slice(0, 4)}`;

const running = async (fault: Record<string, unknown> = {}): Promise<Instance> => {
  const { id } = await daemon.createFake(fault, { alias: fresh() });
  await daemon.start(id, 20);
  return await daemon.whenStatus(id, "running");
};

const stored = async (name: string): Promise<Instance> => await ctl.json<Instance>(["get", name]);

describe("which instance", () => {
  test("an id, an alias and a beginning name the same one; a beginning of two lists both and ends with 2", async () => {
    const stem = fresh();
    const one = await daemon.createFake({}, { alias: `${stem}-one` });
    const two = await daemon.createFake({}, { alias: `${stem}-two` });
    for (const name of [one.id, `${stem}-one`, `${stem}-o`, one.id.slice(0, 13)]) {
      expect(await ctl.ok(["get", name, "-q"])).toBe(`${one.id}\n`);
    }
    const { code, out, err } = await ctl.run(["get", stem]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(one.id);
    expect(err).toContain(two.id);
  });

  test("a name that is not there ends with 4 and does not spoil the others", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh() });
    const { code, out, err } = await ctl.run(["get", "nothing-of-this-name", id, "-q"]);
    expect({ code, out }).toEqual({ code: 4, out: `${id}\n` });
    expect(err).toContain("there is no instance 'nothing-of-this-name'");
  });

  test("no name at all is wrong usage, and so is one beside --all", async () => {
    for (const args of [["start"], ["stop", "x", "--all"], ["rm"], ["logs"]]) {
      expect((await ctl.run(args)).code).toBe(2);
    }
  });
});

describe("what is printed", () => {
  test("--json is what the API answered: an array for ls, an object for get, an array for several", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh() });
    const { body: all } = await daemon.request<Instance[]>("GET", "/instances");
    expect(await ctl.json<Instance[]>(["ls"])).toEqual(all);
    expect(await ctl.json<Instance[]>(["ps"])).toEqual(all);
    expect(await ctl.json<Instance>(["get", id])).toEqual(await daemon.get(id));
    expect(await ctl.json<Instance[]>(["get", "--all"])).toEqual(all);
    expect(await ctl.ok(["ls", "-q"])).toBe(all.map((one) => `${one.id}\n`).join(""));
  });

  test("a daemon with nothing is an empty array, and a table of headings with a word on stderr", async () => {
    await using empty = await TestDaemon.start();
    const client = Ctl.of(empty);
    expect(await client.json<Instance[]>(["ls"])).toEqual([]);
    const { code, out, err } = await client.run(["ls"]);
    expect(code).toBe(0);
    expect(out).toBe("NAME  ID  STATUS  MODEL  PORT  UPTIME  BACKEND  URL\n");
    expect(err).toContain("ctl create");
  });

  test("ls has the URL of what runs; -o wide has more, -o json is --json, -o name is a name a line", async () => {
    const { id, port, config, pid } = await running();
    const twin = await daemon.createFake({}, { alias: config.alias });
    const url = `http://127.0.0.1:${port}`;
    const row = async (...words: string[]): Promise<string> =>
      (await ctl.ok(["ls", ...words])).split("\n").find((line) => line.includes(id.slice(0, 8))) ?? "";
    expect(await row()).toContain(`  ${url}`);
    const wide = await row("-o", "wide");
    for (const shown of [id, url, `${pid}`, (config as { model: string }).model, "running"])
      expect(wide).toContain(shown);
    expect(await ctl.ok(["ls", "-o", "json"])).toBe(await ctl.ok(["ls", "--json"]));
    const names = (await ctl.ok(["ls", "-o", "name"])).split("\n");
    // Where two have the same alias, the name is what names one of them.
    for (const each of [id, twin.id]) expect(names).toContain(each.slice(0, 8));
    expect(await ctl.run(["ls", "-o", "name", "-q"])).toMatchObject({ code: 2, out: "" });
    const wrong = await ctl.run(["ls", "-o", "yaml"]);
    expect(wrong.err).toContain("'--output' of 'ls' takes wide, json or name, and not 'yaml'");
    await ctl.ok(["rm", "--force", id, twin.id, "-q"]);
  });

  test("a key is shown by --json only, and without a terminal nothing is coloured", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh(), api_key: "very-secret" });
    const shown = await ctl.ok(["get", id]);
    expect(shown).not.toContain("very-secret");
    expect(shown).not.toContain("\u001b");
    expect((await stored(id)).config.api_key).toBe("very-secret");
  });

  test("memory is what the API answers", async () => {
    const { total_gb } = await ctl.json<{ total_gb: number }>(["memory"]);
    expect(total_gb).toBeGreaterThan(0);
    expect(await ctl.ok(["memory"])).toContain(`${total_gb.toFixed(2)} GiB`);
  });

  test("help of every verb, and of every backend, has examples and the flags for the daemon", async () => {
    const verbs = ["ls", "get", "create", "edit", "rm", "start", "stop", "restart", "logs", "state", "last", "wait"];
    const all = [...verbs, "top", "memory", "health", "create llamacpp", "create huggingface_causal"];
    const helps = await Promise.all(all.map((verb) => ctl.ok([...verb.split(" "), "--help"])));
    for (const help of helps) {
      expect(help).toContain("Examples:");
      for (const flag of ["--context", "--url", "--key"]) expect(help).toContain(flag);
      expect(help).toContain("'-' reads it from stdin");
    }
    for (const verb of ["context", "completion"]) expect(await ctl.ok([verb, "--help"])).toContain("Examples:");
  });

  test("a verb and a flag that do not exist are wrong usage", async () => {
    expect((await ctl.run(["nonsense"])).code).toBe(2);
    expect((await ctl.run(["ls", "--nonsense"])).code).toBe(2);
  });

  test.each(["ls", "get --all", "logs --all"])("%s says that a full disk took nothing", async (words) => {
    const { id } = await running({ lines: 1 });
    const child = Bun.spawn(["bash", "-c", `"$0" ctl ${words} > /dev/full`, ctl.binary], {
      env: ctl.environment(),
      stderr: "pipe",
    });
    expect(await child.exited).toBe(1);
    expect(await new Response(child.stderr).text()).toContain(
      "error: cannot write: no space is left on the disk that holds stdout",
    );
    await daemon.stop(id);
  });

  test("a reader that goes away is no error", async () => {
    const child = Bun.spawn(["bash", "-c", 'set -o pipefail; "$0" ctl ls --json | true', ctl.binary], {
      env: ctl.environment(),
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await child.exited).toBe(0);
    expect(await new Response(child.stderr).text()).toBe("");
  });
});

describe("create", () => {
  test("each field has a flag of its name, and what was given is what is stored", async () => {
    const alias = fresh();
    const given = {
      alias,
      model: "/models/some.gguf",
      threads: 3,
      n_gpu_layers: 7,
      temp: 0.25,
      top_p: 0.5,
      top_k: 11,
      min_p: 0.125,
      ctx_size: 2048,
      chat_template_file: "/templates/t.jinja",
      special: true,
      host: "127.0.0.2",
      port: 34_567,
      api_key: "given-key",
      priority: 5,
    };
    const flags = Object.entries(given).flatMap(([name, value]) => [`--${name.replaceAll("_", "-")}`, String(value)]);
    const id = (await ctl.ok(["create", "llamacpp", ...flags])).trim();
    expect((await daemon.get(id)).config).toEqual({ backend_type: "llamacpp", ...given } as Instance["config"]);
  });

  test("a flag may be written as the field, with underscores", async () => {
    const flags = ["--n_gpu_layers", "3", "--top_p=0.5", "--chat_template_file", "/t", "--api_key", "k"];
    const id = (await ctl.ok(["create", "llamacpp", "--model", "/m", "--alias", fresh(), ...flags])).trim();
    expect((await daemon.get(id)).config).toMatchObject({
      n_gpu_layers: 3,
      top_p: 0.5,
      chat_template_file: "/t",
      api_key: "k",
    });
  });

  test("a backend that there is not is told with those that there are", async () => {
    for (const args of [["nonsense"], ["nonsense", "--model", "/m"], ["--model", "/m"]]) {
      const { code, err } = await ctl.run(["create", ...args]);
      expect(code).toBe(2);
      expect(err).toContain("llamacpp, huggingface_causal, huggingface_classification");
    }
    expect((await ctl.run(["create", "-f", "-", "--nonsense"], { stdin: "{}" })).code).toBe(2);
  });

  test("what is said to do next names the new one, where another has its alias or it holds a blank", async () => {
    const alias = `two words ${fresh()}`;
    const create = ["create", "llamacpp", "--model", "/m", "--alias", alias];
    expect((await ctl.run([...create, "--force"])).err).toContain(`ctl start '${alias}' --wait`);
    const { out, err } = await ctl.run([...create, "--force"]);
    expect(err).toContain(`ctl start ${out.slice(0, 8)} --wait`);
  });

  test("a config comes from a file or stdin, as JSON or YAML, bare or as {config}", async () => {
    const config = { model: "/m.gguf", alias: "", api_key: "k" };
    const texts = [
      JSON.stringify({ ...config, alias: fresh() }),
      JSON.stringify({ config: { ...config, alias: fresh() } }),
      `model: /m.gguf\nalias: ${fresh()}\napi_key: k\n`,
      `config:\n  model: /m.gguf\n  alias: ${fresh()}\n  api_key: k\n`,
    ];
    for (const [at, text] of texts.entries()) {
      const file = join(ctl.home, `create-${at}`);
      writeFileSync(file, text);
      const args = at % 2 === 0 ? ["create", "-f", file] : ["create", "-f", "-"];
      const id = (await ctl.ok(args, at % 2 === 0 ? {} : { stdin: text })).trim();
      const { config: made } = await daemon.get(id);
      expect(text).toContain(made.alias);
      expect(made).toMatchObject({ model: "/m.gguf", api_key: "k" });
    }
  });

  test("a key that is not given is made, another each time", async () => {
    const ids = await Promise.all(
      [fresh(), fresh()].map(async (alias) =>
        (await ctl.ok(["create", "llamacpp", "--model", "/m", "--alias", alias])).trim(),
      ),
    );
    const keys = await Promise.all(ids.map(async (id) => (await daemon.get(id)).config.api_key));
    expect(keys[0]?.length).toBeGreaterThanOrEqual(32);
    expect(keys[0]).not.toBe(keys[1]);
  });

  test("fields that are wrong are told by name, all of them, and end with 2", async () => {
    const before = (await daemon.request<Instance[]>("GET", "/instances")).body.length;
    const { code, out, err } = await ctl.run([
      "create",
      "llamacpp",
      "--alias",
      "x",
      "--temp",
      "9",
      "--threads",
      "many",
    ]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    for (const field of ["model: ", "temp: ", "threads: "]) expect(err).toContain(`  ${field}`);
    expect((await daemon.request<Instance[]>("GET", "/instances")).body).toHaveLength(before);
  });

  test("neither a backend nor a file is wrong usage that says what to write; a file that is not there is a failure", async () => {
    const { code, err } = await ctl.run(["create"]);
    expect(code).toBe(2);
    expect(err).toContain("ctl create llamacpp --model");
    expect((await ctl.run(["create", "-f", "/no/such/file"])).code).toBe(1);
    const broken = await ctl.run(["create", "-f", "-"], { stdin: "alias: [x\n" });
    expect(broken.code).toBe(2);
    expect(broken.err).toContain("stdin: ");
  });

  test("--start --wait makes one that runs; --json is the instance as it became", async () => {
    const { body } = await daemon.request<Instance[]>("GET", "/instances");
    const model = join(ctl.home, "good.json");
    writeFileSync(model, "{}");
    const args = [
      "create",
      "llamacpp",
      "--model",
      model,
      "--alias",
      fresh(),
      "--host",
      "127.0.0.1",
      "--start",
      "--wait",
    ];
    const { instance } = await ctl.json<{ instance: Instance }>(args);
    expect(body.map(({ id }) => id)).not.toContain(instance.id);
    expect(instance.status).toBe("running");
    expect((await daemon.get(instance.id)).pid).toBe(instance.pid);
  });
});

describe("start, stop and wait", () => {
  test("a start that fails gives the reason and the last lines of the log, and ends with 1", async () => {
    const { id } = await daemon.createFake(
      { exitCode: 3, lastWords: "error: the tape has run out" },
      { alias: fresh() },
    );
    const { code, err } = await ctl.run(["start", id, "--wait"]);
    expect(code).toBe(1);
    expect(err).toContain("the last lines of its log");
    expect(err).toContain("  error: the tape has run out");
    const waited = await ctl.run(["wait", id]);
    expect(waited.code).toBe(1);
    expect(waited.err).toContain("the tape has run out");
  });

  test("the last lines are of this start, and not of the one before", async () => {
    const { id } = await daemon.createFake({ exitCode: 3, lastWords: "error: the first end" }, { alias: fresh() });
    expect((await ctl.run(["start", id, "--wait"])).err).toContain("  error: the first end");
    const model = join(ctl.home, "second.json");
    writeFileSync(model, JSON.stringify({ exitCode: 3, lastWords: "error: the second end" }));
    await ctl.ok(["edit", id, "--set", `model=${model}`]);
    const { err } = await ctl.run(["start", id, "--wait"]);
    expect(err).toContain("  error: the second end");
    expect(err).not.toContain("the first end");
  });

  test("the log of one that never ran is empty, which is said", async () => {
    const { id, config } = await daemon.createFake({}, { alias: fresh() });
    expect(await ctl.run(["logs", id])).toEqual({ code: 0, out: "", err: `${config.alias}: no lines yet\n` });
    expect((await ctl.run(["logs", id, "--tail", "0"])).err).toBe("");
  });

  test("a time that is over ends with 124, and loading goes on", async () => {
    const { id } = await daemon.createFake({ neverReady: true }, { alias: fresh() });
    const started = await ctl.run(["start", id, "--timeout", "200ms"]);
    expect(started.code).toBe(124);
    expect(started.err).toContain("it goes on loading");
    expect((await daemon.get(id)).status).toBe("starting");
    expect((await ctl.run(["wait", id, "--for", "running", "--timeout", "0.1"])).code).toBe(124);
    await ctl.ok(["stop", id]);
    expect((await daemon.get(id)).status).toBe("stopped");
    expect((await ctl.run(["wait", id, "--timeout", "soon"])).code).toBe(2);
  });

  test("one of several that is deleted while it is waited for is named", async () => {
    const gone = await daemon.createFake({}, { alias: fresh() });
    const never = await daemon.createFake({ neverReady: true }, { alias: fresh() });
    const waiting = CtlProcess.start(["wait", gone.id, never.id], { cwd: ctl.home });
    await waiting.said(`${gone.config.alias}: stopped`);
    await ctl.ok(["rm", gone.id]);
    await waiting.said(`error: ${gone.config.alias}: Instance not found`);
    await waiting.interrupt();
  });

  test("an interrupt ends with 130 and says what goes on", async () => {
    const { id, config } = await daemon.createFake({ neverReady: true }, { alias: fresh() });
    const child = ctl.spawn(["start", id, "--wait"]);
    await daemon.whenStatus(id, "starting");
    let told = "";
    const reading = (async () => {
      for await (const chunk of child.stderr) told += new TextDecoder().decode(chunk);
    })();
    // Which stage it sees first is chance.
    await until("it to say how far it has come", () => told.includes(`${config.alias}: `));
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await reading;
    expect(told).toContain("what was begun goes on");
    expect((await daemon.get(id)).status).toBe("starting");
    await ctl.ok(["stop", id]);
  });

  test("several are started, restarted and stopped at once, and a failure of one does not spoil the others", async () => {
    const good = await daemon.createFake({}, { alias: fresh() });
    const bad = await daemon.createFake({ exitCode: 1 }, { alias: fresh() });
    const { code, out } = await ctl.run(["start", good.id, bad.id, "--wait", "-q"]);
    expect({ code, out }).toEqual({ code: 1, out: `${good.id}\n` });
    const { pid } = await daemon.get(good.id);
    const { instance } = await ctl.json<{ instance: Instance }>(["restart", good.id, "--wait"]);
    expect(instance.status).toBe("running");
    expect(instance.pid).not.toBe(pid);
    const waiting = ctl.run(["wait", good.id, bad.id, "--for", "stopped", "--json"]);
    expect(await ctl.ok(["stop", good.id, bad.id, "-q"])).toBe(`${good.id}\n${bad.id}\n`);
    const { code: end, out: waited } = await waiting;
    expect(end).toBe(0);
    expect((JSON.parse(waited) as Instance[]).map(({ id }) => id)).toEqual([good.id, bad.id]);
    expect((await daemon.get(good.id)).status).toBe("stopped");
  });
});

describe("what runs", () => {
  test("state and health need one that runs: 3 where it does not", async () => {
    const stopped = await daemon.createFake({}, { alias: fresh() });
    const { id, config } = await running();
    for (const verb of ["state", "health"]) {
      const { code, err } = await ctl.run([verb, stopped.id]);
      expect(code).toBe(3);
      expect(err).toContain("ctl start");
      expect(await ctl.ok([verb, id])).toContain(config.alias);
    }
    expect((await ctl.json<{ instance_id: string }>(["state", id])).instance_id).toBe(id);
    // Following is for one that runs, too.
    const followed = await ctl.run(["state", "-f", stopped.id]);
    expect(followed.code).toBe(3);
    expect(followed.err).toContain("ctl start");
    expect((await ctl.run(["health", id, stopped.id])).code).toBe(3);
    await daemon.stop(id);
  });

  test("health without a name is the daemon's, and proves the key", async () => {
    expect(await ctl.ok(["health"])).toContain(daemon.url);
    expect(await ctl.json<{ service: string }>(["health"])).toMatchObject({ status: "healthy", service: "solar-host" });
    expect((await ctl.run(["health", "--key", "wrong"])).code).toBe(6);
  });

  test("last is 4 before the first generation, and what the API answers behind it", async () => {
    const { id, port } = await running({ tokens: 3, tokenMs: 1 });
    expect((await ctl.run(["last", id])).code).toBe(4);
    await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer instance-key" },
      body: JSON.stringify({ messages: [{ role: "user", content: "hello" }] }),
    }).then((answer) => answer.text());
    await until("a generation to be known", async () => (await daemon.lastGeneration(id)).status === 200);
    expect(await ctl.json<unknown>(["last", id])).toEqual((await daemon.lastGeneration(id)).body);
    expect(await ctl.ok(["last", id, "--within", "1h"])).toContain("ago");
    expect((await ctl.run(["last", id, "--after", "2999-01-01T00:00:00Z"])).code).toBe(4);
    await daemon.stop(id);
  });

  test("rm keeps one that runs and ends with 1; --force stops it first; without a terminal it never asks", async () => {
    const { id } = await running();
    const other = await daemon.createFake({}, { alias: fresh() });
    const { code, err } = await ctl.run(["rm", id, other.id]);
    expect(code).toBe(1);
    expect(err).toContain("rm --force");
    expect((await daemon.get(id)).status).toBe("running");
    expect((await daemon.request("GET", `/instances/${other.id}`)).status).toBe(404);
    expect(await ctl.ok(["rm", "--force", id, "-q"])).toBe(`${id}\n`);
    expect((await daemon.request("GET", `/instances/${id}`)).status).toBe(404);
  });
});

describe("edit", () => {
  test("--set changes fields by name and says what changed; a key's value is never shown", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh() });
    const { code, err } = await ctl.run([
      "edit",
      id,
      "--set",
      "temp=0.5",
      "--set",
      "n-gpu-layers=3",
      "--set",
      "api_key=s3cr3t",
    ]);
    expect(code).toBe(0);
    for (const line of ["temp: 1 -> 0.5", "n_gpu_layers: 999 -> 3", "api_key: changed"]) expect(err).toContain(line);
    expect(err).not.toContain("s3cr3t");
    expect((await daemon.get(id)).config).toMatchObject({ temp: 0.5, n_gpu_layers: 3, api_key: "s3cr3t" });
    const again = await ctl.run(["edit", id, "--set", "temp=0.5"]);
    expect(again).toMatchObject({ code: 0, out: "" });
    expect(again.err).toContain("nothing to change");
    const wrong = await ctl.run(["edit", id, "--set", "temp=9", "--set", "threads=x"]);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain("temp: ");
    expect(wrong.err).toContain("threads: ");
    const none = await ctl.run(["edit", id, "--set", "backend_type=of-the-future"]);
    const told = none.err.trim().split("\n");
    expect(told).toEqual([...new Set(told)]);
    expect(none.code).toBe(2);
  });

  test("one that runs is changed with --restart only, which stops, applies and starts", async () => {
    const { id, pid } = await running();
    const refused = await ctl.run(["edit", id, "--set", "temp=0.5"]);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/ctl edit \S+ --set temp=0.5 --restart$/m);
    expect(await daemon.get(id)).toMatchObject({ pid, config: { temp: 1 } });
    const { instance } = await ctl.json<{ instance: Instance }>([
      "edit",
      id,
      "--set",
      "temp=0.5",
      "--restart",
      "--wait",
    ]);
    expect(instance).toMatchObject({ status: "running", config: { temp: 0.5 } });
    expect(instance.pid).not.toBe(pid);
    // What would be refused is found before anything is stopped.
    expect((await ctl.run(["edit", id, "--set", "temp=9", "--restart"])).code).toBe(2);
    expect((await daemon.get(id)).pid).toBe(instance.pid);
    await daemon.stop(id);
  });

  test("the editor gets the config without its key; what it leaves is applied, and leaving it is no change", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh() });
    const seen = join(ctl.home, "seen");
    const EDITOR = `cp --preserve=mode "$1" ${seen}; sed -i 's/^temp:.*/temp: 0.75/'`;
    const script = join(ctl.home, "editor");
    writeFileSync(script, `#!/bin/sh\n${EDITOR} "$1"\n`);
    chmodSync(script, 0o755);
    expect((await ctl.run(["edit", id], { env: { EDITOR: script } })).err).toContain("temp: 1 -> 0.75");
    expect(readFileSync(seen, "utf8")).not.toContain("instance-key");
    expect(statSync(seen).mode & 0o777).toBe(0o600);
    expect((await daemon.get(id)).config).toMatchObject({ temp: 0.75, api_key: "instance-key" });
    const untouched = await ctl.run(["edit", id], { env: { VISUAL: "true", EDITOR: "false" } });
    expect(untouched.code).toBe(0);
    expect(untouched.err).toContain("nothing to change");
    expect((await ctl.run(["edit", id], { env: { EDITOR: "false" } })).code).toBe(1);
    expect((await ctl.run(["edit", id], { env: { EDITOR: "/no/such/editor" } })).code).toBe(2);
    expect(readdirSync(join(ctl.home, "tmp"))).toEqual([]);
  });

  test("a bad edit is told by the field and keeps its text, which -f applies when it is mended", async () => {
    const { id } = await daemon.createFake({}, { alias: fresh() });
    const { code, err } = await ctl.run(["edit", id], { env: { EDITOR: "sed -i 's/^temp:.*/temp: 9/'" } });
    expect(code).toBe(2);
    expect(err).toContain("temp: ");
    const path = /your text is kept: (\S+)/.exec(err)?.[1] ?? "";
    const text = readFileSync(path, "utf8");
    expect(text).toContain("temp: 9");
    expect((await daemon.get(id)).config).toMatchObject({ temp: 1 });
    const mended = await ctl.run(["edit", id, "-f", "-"], { stdin: text.replace("temp: 9", "temp: 0.9") });
    expect(mended.err).toContain("temp: 1 -> 0.9");
    expect((await daemon.get(id)).config).toMatchObject({ temp: 0.9, api_key: "instance-key" });
  });
});

test("the key may come from stdin, and two things cannot both read it", async () => {
  const other = new Ctl(temporaryFolder());
  expect((await other.run(["ls", "--url", daemon.url, "--key", "-"], { stdin: `${KEY}\n` })).code).toBe(0);
  expect((await other.run(["ls", "--url", daemon.url, "--key", "-"], { stdin: "" })).code).toBe(2);
  const both = ["create", "-f", "-", "--url", daemon.url, "--key", "-"];
  expect((await other.run(both, { stdin: "{}" })).code).toBe(2);
});

test("a folder that holds no daemon's record is no obstacle", async () => {
  const home = temporaryFolder();
  mkdirSync(join(home, "xdg-state/solar-host/daemons"), { recursive: true });
  writeFileSync(join(home, "xdg-state/solar-host/daemons/broken.json"), "{");
  const { code, err } = await new Ctl(home).run(["ls"]);
  expect(code).toBe(5);
  expect(err).toContain("solar-host serve");
});
