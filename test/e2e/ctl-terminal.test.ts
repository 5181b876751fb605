import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ctl, Terminal } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The client as a person sees it: on a pseudo-terminal, and in the shells that complete its words. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;

beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "2", MAX_RETRIES: "1" } });
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const open = (args: string, env: Record<string, string> = {}, width?: number): Promise<Terminal> =>
  Terminal.open(`solar-host ctl ${args}`, ctl.environment(env), width);

const exists = async (id: string): Promise<boolean> => (await daemon.request("GET", `/instances/${id}`)).status === 200;

describe("on a terminal", () => {
  test("ls has colours, none under NO_COLOR, and lines no wider than the terminal", async () => {
    const alias = `wide-${"w".repeat(60)}-end`;
    const { id } = await daemon.create({ model: "/m", alias, api_key: "k" });
    using coloured = await open("ls", {}, 60);
    const screen = await coloured.shows("ended with 0");
    expect(coloured.painted()).toContain("\u001b[");
    const row = screen.split("\n").find((line) => line.startsWith("wide-")) ?? "";
    expect(row).toContain("…");
    expect(row).toContain("stopped");
    expect(row).toContain("llamacpp");
    using plain = await open("ls", { NO_COLOR: "1" }, 60);
    await plain.shows("ended with 0");
    expect(plain.painted()).not.toContain("\u001b[");
    await ctl.ok(["rm", id]);
  });

  test("ls of 80 columns says why one failed, and leaves out its URL for that", async () => {
    const { id } = await daemon.create({ model: "/no/such/model.gguf", alias: "without-a-model", api_key: "k" });
    await ctl.run(["start", id]);
    using terminal = await open("ls", {}, 80);
    const screen = await terminal.shows("ended with 0");
    const [titles = ""] = screen.split("\n");
    expect(titles).toContain("REASON");
    expect(titles).not.toContain("URL");
    expect(screen).toMatch(/^without-.*failed.*no such file/m);
    await ctl.ok(["rm", id]);
  });

  test("rm asks, and anything but yes deletes nothing", async () => {
    const { id } = await daemon.create({ model: "/m", alias: "asked", api_key: "k" });
    for (const answer of ["", "n"]) {
      using terminal = await open("rm asked");
      await terminal.shows("Delete asked?");
      terminal.type(answer, "Enter");
      await terminal.shows("ended with 1");
      expect(await exists(id)).toBe(true);
    }
    using terminal = await open("rm asked");
    await terminal.shows("Delete asked?");
    terminal.type("y", "Enter");
    await terminal.shows("asked is deleted");
    await terminal.shows("ended with 0");
    expect(await exists(id)).toBe(false);
  });

  test("a key is asked for and not shown", async () => {
    using terminal = await open("context add gpu1 http://127.0.0.1:9");
    await terminal.shows("Key of http://127.0.0.1:9");
    terminal.type("s3cr3t-k", "Enter");
    expect(await terminal.shows("ended with 0")).not.toContain("s3cr3t-k");
    expect(await Bun.file(join(ctl.home, "xdg-config/solar-host/contexts.json")).text()).toContain("s3cr3t-k");
    await ctl.ok(["context", "rm", "gpu1"]);
    using brokenOff = await open("context add gpu2 http://127.0.0.1:9");
    await brokenOff.shows("Key of");
    brokenOff.type("C-c");
    await brokenOff.shows("ended with 130");
    expect(await ctl.ok(["context", "ls", "-q"])).toBe("");
  });

  test("a bad edit can be edited again, and the second one is applied", async () => {
    const { id } = await daemon.create({ model: "/m", alias: "again", api_key: "k" });
    // The first time it writes a wrong value, the second time a right one; it reads the terminal as editors do.
    const editor = join(ctl.home, "editor.sh");
    writeFileSync(editor, 'printf "value? "; read -r value; sed -i "s/^temp:.*/temp: $value/" "$1"\n');
    using terminal = await open("edit again", { EDITOR: `sh ${editor}` });
    await terminal.shows("value?");
    terminal.type("9", "Enter");
    const told = await terminal.shows("Edit it again?");
    expect(told).toContain("temp: ");
    terminal.type("y", "Enter");
    await terminal.shows(/value\?[\s\S]*value\?/);
    terminal.type("0.5", "Enter");
    await terminal.shows("temp: 1 -> 0.5");
    await terminal.shows("ended with 0");
    expect((await daemon.get(id)).config).toMatchObject({ temp: 0.5 });
    using refused = await open("edit again", { EDITOR: `sh ${editor}` });
    await refused.shows("value?");
    refused.type("8", "Enter");
    await refused.shows("Edit it again?");
    refused.type("n", "Enter");
    await refused.shows("your text is kept");
    await refused.shows("ended with 2");
    expect((await daemon.get(id)).config).toMatchObject({ temp: 0.5 });
    await ctl.ok(["rm", id]);
  });

  test("an interrupt is for the editor while it is open", async () => {
    const { id } = await daemon.create({ model: "/m", alias: "held", api_key: "k" });
    const editor = join(ctl.home, "interrupted.sh");
    writeFileSync(editor, 'trap "echo caught" INT; echo ready; until read -r line; do :; done; echo "got $line"\n');
    using terminal = await open("edit held", { EDITOR: `bash ${editor}` });
    await terminal.shows("ready");
    terminal.type("C-c");
    await terminal.shows("caught");
    terminal.type("done", "Enter");
    await terminal.shows("got done");
    await terminal.shows("ended with 0");
    await ctl.ok(["rm", id]);
  });

  test("the age of what is being stopped goes on without news from the daemon", async () => {
    await using slow = await TestDaemon.start({ env: { STOP_TIMEOUT: "60" } });
    const { id } = await slow.createFake({ ignoreSigterm: true }, { alias: "stubborn" });
    await slow.start(id);
    using terminal = await Terminal.open("solar-host ctl stop stubborn", Ctl.of(slow).environment());
    await terminal.shows(/stubborn +stopping +[1-9]\d*s/);
    await slow.stop(id);
    await terminal.shows("stubborn is stopped");
  });

  test("start --wait shows how a real model loads, in place, and an interrupt puts the terminal right", async () => {
    await using real = await TestDaemon.start({ llamaServer: realServer() });
    const { id } = await real.create({
      model: tinyModel,
      alias: "tiny",
      api_key: "k",
      host: "127.0.0.1",
      ctx_size: 256,
    });
    using terminal = await Terminal.open("solar-host ctl start tiny --wait", Ctl.of(real).environment());
    const screen = await terminal.shows("ended with 0");
    // What was drawn while it loaded is gone; what it came to stays.
    expect(screen.split("\n").filter((line) => line.includes("tiny"))).toEqual([
      expect.stringMatching(/^tiny runs on port \d+$/),
    ]);
    expect((await real.get(id)).status).toBe("running");

    const { id: slow } = await daemon.createFake({ neverReady: true }, { alias: "slow" });
    using loading = await open("start slow --wait");
    // The time goes on in one and the same line.
    await loading.shows(/^slow {2}.*\b1s$/m);
    const later = await loading.shows(/^slow {2}.*\b2s$/m);
    expect(later.match(/^slow/gm)).toHaveLength(1);
    loading.type("C-c");
    const end = await loading.shows("ended with 130");
    expect(end).toContain("ctl stop slow");
    expect(end).not.toMatch(/^slow {2}/m);
    await ctl.ok(["rm", "--force", slow]);
  });
});

test("what a model server wrote cannot take over the terminal by its reason", async () => {
  const facts = {
    id: "5f0c8f0e-0000-4000-8000-000000000000",
    config: { alias: "hostile", backend_type: "llamacpp", model: "/m", api_key: "k" },
    status: "failed",
    port: null,
    pid: null,
    created_at: "2026-01-01T00:00:00Z",
    started_at: null,
    error_message: "no \u001b[2Jroom\u001b]2;owned\u0007",
    retry_count: 0,
    supported_endpoints: [],
    loading: null,
    log_file: null,
  };
  const { config } = await daemon.create({ model: "/m", alias: "sound", api_key: "k" });
  const instance = { ...facts, config: { ...config, alias: "hostile" } };
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => Response.json(new URL(request.url).pathname === "/instances" ? [instance] : instance),
  });
  const target = `hostile --url http://127.0.0.1:${server.port} --key k`;
  using got = await open(`get ${target}`, {}, 100);
  await got.shows("ended with 0");
  // What stands before it is not cleared away.
  expect(got.screen()).toMatch(/^hostile\nid[\s\S]*reason +no room$/m);
  using waited = await Terminal.open(`echo before; solar-host ctl wait ${target}`, ctl.environment());
  await waited.shows("ended with 1");
  expect(waited.screen()).toMatch(/^before\nerror: hostile failed: no room$/m);
  await ctl.ok(["rm", "sound"]);
  const named = { ...instance, config: { ...config, alias: "hos\u001b[2Jtile" } };
  server.reload({ fetch: () => Response.json([named]) });
  using asked = await Terminal.open(
    `echo before; solar-host ctl rm ${target.replace("hostile", "hos")}`,
    ctl.environment(),
  );
  await asked.shows("[y/N]");
  expect(asked.screen()).toMatch(/^before\nDelete hostile\?/m);
  asked.type("n", "Enter");
  await asked.shows("ended with 1");
});

describe("completion", () => {
  let id: string;
  beforeAll(async () => {
    id = (await daemon.create({ model: "/m", alias: "llama-3:8b", api_key: "k" })).id;
    await daemon.create({ model: "/m", alias: "mistral", api_key: "k" });
  });

  const values = async (words: string[], options: Parameters<Ctl["run"]>[1] = {}): Promise<string[]> =>
    (await ctl.ok(["__complete", "ctl", ...words], options))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t")[0] ?? "");

  test("knows verbs, flags, backends, contexts, choices and live names", async () => {
    expect(await values(["st"])).toEqual(["start", "stop", "state"]);
    expect(await values(["start", "--t"])).toEqual(["--timeout"]);
    expect(await values(["create", "l"])).toEqual(["llamacpp"]);
    expect(await values(["create", "llamacpp", "--n-gpu"])).toEqual(["--n-gpu-layers"]);
    expect(await values(["wait", "--for", ""])).toEqual(["running", "stopped"]);
    expect(await values(["ls", "--context", ""])).toEqual(["local"]);
    expect(await values(["completion", ""])).toEqual(["bash", "zsh", "fish"]);
    expect(await values(["start", ""])).toEqual(["llama-3:8b", "mistral"]);
    expect(await values(["start", "mistral", ""])).toEqual(["llama-3:8b"]);
    expect(await values(["get", id.slice(0, 6)])).toEqual([id]);
    expect(await values(["create", "-f", ""])).toEqual([":files"]);
    expect(await values(["start", "--wait", "mi"])).toEqual(["mistral"]);
    expect(await values(["create", "llamacpp", "--special", ""])).toEqual(["true", "false"]);
    expect(await values(["create", "llamacpp", "--special", "--temp"])).toEqual(["--temp"]);
    expect(await values(["create", "llamacpp", "--special=f"])).toEqual(["--special=false"]);
    expect(await values(["wait", "--for=s"])).toEqual(["--for=stopped"]);
  });

  test("knows a host that is named, as a word of its own and behind an equals sign", async () => {
    const elsewhere = new Ctl(join(ctl.home, "elsewhere"));
    await elsewhere.ok(["context", "add", "gpu1", daemon.url, "--key", KEY]);
    const complete = async (...words: string[]): Promise<string[]> =>
      (await elsewhere.ok(["__complete", "ctl", ...words])).split("\n").flatMap((line) => line.split("\t", 1));
    expect(await complete("--context=g")).toEqual(["--context=gpu1", ""]);
    expect(await complete("ls", "--context=")).toEqual(["--context=gpu1", "--context=local", ""]);
    expect(await complete("start", "--context=gpu1", "mis")).toEqual(["mistral", ""]);
    expect(await complete("start", `--url=${daemon.url}`, `--key=${KEY}`, "mis")).toEqual(["mistral", ""]);
    expect(await complete("context", "use", "")).toEqual(["gpu1", "local", ""]);
    expect(await complete("context", "rm", "")).toEqual(["gpu1", ""]);
    expect(await complete("context", "rm", "gpu1", "")).toEqual([""]);
  });

  test("knows the flags of the daemon", async () => {
    const out = await ctl.ok(["__complete", "serve", "--por"]);
    expect(out).toMatch(/^--port\t\S/);
  });

  test("is silent where no daemon answers, whatever the words", async () => {
    for (const words of [
      ["start", "--url", "http://127.0.0.1:9", ""],
      ["start", "--context", "nowhere", ""],
      ["start", "--url", daemon.url, "--key", "wrong", ""],
      ["nonsense", ""],
      ["logs", "--nonsense", "-"],
    ]) {
      const { code, err } = await ctl.run(["__complete", "ctl", ...words]);
      expect({ code, err }).toEqual({ code: 0, err: "" });
    }
    expect(await values(["start", "--url", "http://127.0.0.1:9", ""])).toEqual([]);
  });

  test("bash completes a name behind its colon, and file names where a file is due", async () => {
    const complete = (line: string): string => {
      const script = `
        source <(solar-host ctl completion bash)
        COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        _solar_host; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const done = Bun.spawnSync(["bash", "-c", script, "bash", line], { env: ctl.environment(), cwd: ctl.home });
      return done.stdout.toString().trim();
    };
    expect(complete("solar-host ctl sta")).toBe("start\nstate");
    expect(complete("solar-host ctl start lla")).toBe("llama-3:8b");
    expect(complete("solar-host ctl start llama-3:")).toBe("8b");
    expect(complete("solar-host ctl create -f conf")).toContain("config.json");
  });

  test("fish offers live names with what they are doing", async () => {
    const script = 'solar-host ctl completion fish | source; complete -C "solar-host ctl start mi"';
    const done = Bun.spawnSync(["fish", "--no-config", "-c", script], { env: ctl.environment() });
    expect(done.stdout.toString()).toBe("mistral\tstopped\n");
  });

  test("zsh completes a live name at the tab key", async () => {
    using terminal = await Terminal.open("zsh -f", ctl.environment());
    await terminal.shows(/[%#]\s*$/);
    terminal.type(
      "autoload -Uz compinit && compinit -u -D; source <(solar-host ctl completion zsh); echo is-ready",
      "Enter",
    );
    await terminal.shows(/^is-ready/m);
    terminal.type("solar-host ctl get mis", "Tab");
    await until("zsh to complete", () => terminal.screen().includes("ctl get mistral"));
  });
});
