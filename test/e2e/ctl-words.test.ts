import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ctl } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** What is wrong is said in the client's own words: none of a parser, of fetch, of the system or of a library. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

let daemon: TestDaemon;
let ctl: Ctl;
beforeAll(async () => {
  daemon = await TestDaemon.start();
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const FOREIGN =
  /E[A-Z]{4,}|YAML\.|parseAllDocuments|JSON Parse|zod|Invalid input|undefined|TypeError|Error:|fetch|flow|implicit/;

describe("a file that", () => {
  test.each([
    ["is not there", "' is not there", (_: string) => undefined],
    ["is a folder", "' is a folder and no file", (path: string) => void mkdirSync(path)],
    ["is under a file", "is a file and no folder", (path: string) => writeFileSync(join(path, ".."), "")],
  ])("%s is told so", async (_, words, make) => {
    const folder = temporaryFolder();
    const path = words === "is a file and no folder" ? join(folder, "file", "x.yaml") : join(folder, "x.yaml");
    make(path);
    const { code, err } = await ctl.run(["create", "-f", path]);
    expect(code).toBe(1);
    expect(err).toContain(path);
    expect(err).toContain(words);
    expect(err).not.toMatch(FOREIGN);
  });

  test.each([
    ["holds two documents", "alias: a\n---\nalias: b\n", "several documents"],
    ["has a key twice", "alias: a\nalias: b\n", "a key stands there twice, at line 2"],
    ["has a bracket left open", "alias: [x\n", "the indentation is wrong, or a bracket is left open, at line"],
    ["is indented with a tab", "config:\n\talias: a\n", "a tab is no indentation: use blanks, at line 2"],
    ["refers to nothing", "alias: *nowhere\n", "refers to something that is not there"],
    ["is a list", "- a\n", "holds no config"],
    ["is half a JSON", '{"alias": "a", ', "a quote, a bracket, a comma or a colon is missing, at line"],
  ])("%s is told so", async (_, stdin, words) => {
    const { code, err } = await ctl.run(["create", "-f", "-"], { stdin });
    expect(code).toBe(2);
    expect(err.split("\n")[0]).toContain(words);
    expect(err).not.toMatch(FOREIGN);
  });
});

test("a stdin that is a folder is told so", async () => {
  for (const words of ["create -f -", "ls --key -"]) {
    const command = ["sh", "-c", `solar-host ctl ${words} < /tmp`];
    const child = Bun.spawn(command, { env: ctl.environment(), stderr: "pipe" });
    expect(await child.exited).toBe(1);
    expect(await new Response(child.stderr).text()).toContain("cannot read: 'stdin' is a folder and no file");
  }
});

describe("a text that is not UTF-8 is refused with its place, and never read with other characters in it", () => {
  const LATIN1 = new Uint8Array(Buffer.from("alias: a\nmodel: /modelle/gr\u00f6\u00dfe.gguf\n", "latin1"));

  test("from a file and from stdin", async () => {
    const path = join(temporaryFolder(), "x.yaml");
    writeFileSync(path, LATIN1);
    for (const [args, name] of [
      [["create", "-f", path], path],
      [["create", "-f", "-"], "stdin"],
      [["ls", "--key", "-"], "--key -"],
    ] as const) {
      const { code, out, err } = await ctl.run(args, { stdin: LATIN1 });
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toStartWith(`error: ${name}:2:19: not UTF-8`);
    }
  });

  test("and from the editor, whose text is kept", async () => {
    const { id } = await daemon.createFake({}, { alias: "latin1" });
    const editor = join(temporaryFolder(), "editor.sh");
    const text = join(temporaryFolder(), "text");
    writeFileSync(text, LATIN1);
    writeFileSync(editor, `cp ${text} "$1"\n`);
    const { code, err } = await ctl.run(["edit", id], { env: { EDITOR: `sh ${editor}` } });
    expect(code).toBe(2);
    expect(err).toContain(":2:19: not UTF-8");
    expect(readFileSync(/your text is kept: (\S+)/.exec(err)?.[1] ?? "")).toEqual(Buffer.from(LATIN1));
    expect((await daemon.get(id)).config.alias).toBe("latin1");
  });
});

test.each(["no JSON {", '{"current": 1, "contexts": {}}', '{"current": null, "contexts": {"a": {"url": "u"}}}'])(
  "the file of the contexts that is %s is told to be broken",
  async (text) => {
    const client = new Ctl(temporaryFolder());
    mkdirSync(join(client.home, "xdg-config/solar-host"), { recursive: true });
    writeFileSync(join(client.home, "xdg-config/solar-host/contexts.json"), text);
    const { code, err } = await client.run(["ls"]);
    expect(code).toBe(1);
    expect(err).toContain("contexts.json is broken");
    expect(err).not.toMatch(FOREIGN);
  },
);

test.each([
  [["ls", "--url", "https://HERE"], 5, "does not speak TLS"],
  [["ls", "--url", "http://127.0.0.1:9"], 5, "nothing listens there"],
  [["ls", "--url", "http://no-such-host.invalid"], 5, "name is not known"],
  [["ls", "--url", "http://HERE", "--key", "two\nlines"], 2, "the key from --key"],
  [["ls", "--url", "http://HERE", "--key", "schlüssel€"], 2, "the key from --key"],
  [["logs", "--all", "--grep", "["], 2, "a '[' has no ']' behind it"],
  [["create", "huggingface_classification", "--labels", "[a"], 2, "is no list"],
] as const)("%j is told in plain words", async (args, code, words) => {
  const here = daemon.url.replace("http://", "");
  const done = await ctl.run(args.map((word) => word.replace("HERE", here)));
  expect(done.err).toContain(words);
  expect(done.err).not.toMatch(FOREIGN);
  expect(done.code).toBe(code);
});

test("what answers and speaks no HTTP is told so", async () => {
  using noise = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n") },
  });
  const { code, err } = await ctl.run(["ls", "--url", `http://127.0.0.1:${noise.port}`, "--key", KEY]);
  expect(code).toBe(5);
  expect(err).not.toMatch(FOREIGN);
});

test.each([
  ["list", "ls"],
  ["delete", "rm"],
  ["show", "get"],
  ["log", "logs"],
  ["stat", "state"],
  ["lgos", "logs"],
  ["strat", "start"],
  ["constructor", null],
])("%s is no command, and %s is offered for it", async (word, meant) => {
  const { code, err } = await ctl.run([word]);
  expect(code).toBe(2);
  if (meant === null) expect(err).not.toContain("do you mean");
  else expect(err).toContain(`do you mean '${meant}'?`);
});

describe("a command line that is wrong is told with the verb, what was written, and what would be right:", () => {
  const run = async (words: readonly string[]) => {
    const child = Bun.spawn([ctl.binary, ...words], { cwd: "/", env: ctl.environment(), stderr: "pipe" });
    return { code: await child.exited, err: await new Response(child.stderr).text() };
  };

  test.each([
    ["ctl ls x", "'ls' takes no argument: 'x' is too much", "see: solar-host ctl ls --help"],
    ["ctl context add a b c", "'context add' takes <name> <address> alone: 'c' is too much", "see:"],
    ["ctl ls --jsn", "'ls' has no option '--jsn'", "do you mean '--json'?"],
    ["ctl create llamacpp --api_ky=secret", "'create llamacpp' has no option '--api_ky'", "do you mean '--api-key'?"],
    ["ctl ls --json=yes", "'--json' of 'ls' takes no value", "see:"],
    ["ctl start --timeout", "'--timeout' of 'start' needs a value", "write: --timeout <time>"],
    ["ctl ls --context", "'--context' of 'ls' needs a value", "see: solar-host ctl ls --help"],
    ["ctl context add a b --key", "'--key' of 'context add' needs a value", "see: solar-host ctl context add --help"],
    ["ctl --url", "'--url' of 'ctl' needs a value", "see: solar-host ctl --help"],
    ["ctl wait x --for", "'--for' of 'wait' needs a value", "it takes running or stopped"],
    ["ctl wait x --for it's", "'--for' of 'wait' takes running or stopped, and not 'it's'", "see:"],
    ["ctl completion tcsh", "'completion' takes bash, zsh or fish, and not 'tcsh'", "see:"],
    ["ctl context add", "'context add' needs <name>", "write: solar-host ctl context add <name> <address>"],
    ["ctl context lst", "'context' has no command 'lst'", "do you mean 'ls'?"],
    ["serv", "'solar-host' has no command 'serv'", "do you mean 'serve'?"],
    ["serve x", "'serve' takes no argument: 'x' is too much", "see: solar-host serve --help"],
    ["serve --prt 1", "'serve' has no option '--prt'", "do you mean '--port'?"],
    ["serve --port", "'--port' of 'serve' needs a value", "write: --port <port>"],
  ])("%s", async (line, message, hint) => {
    const { code, err } = await run(line.split(" "));
    expect(err.split("\n")[0]).toBe(`error: ${message}`);
    expect(err).toContain(`  ${hint}`);
    expect(err).not.toContain("secret");
    expect(code).toBe(2);
  });

  test.each(["ctl ls --frob", "ctl context frob", "frob", "serve --frob"])("%s has nothing near it", async (line) => {
    const { code, err } = await run(line.split(" "));
    expect(err).toContain("frob'\n");
    expect(err).not.toContain("do you mean");
    expect(code).toBe(2);
  });
});
