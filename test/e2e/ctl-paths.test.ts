import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { InstanceAnswer } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** Paths of models as a person writes them: relative to where that person stands, or to the home. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

let daemon: TestDaemon;
let ctl: Ctl;
beforeAll(async () => {
  daemon = await TestDaemon.start();
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const config = async (args: string[], options: Parameters<Ctl["run"]>[1], client = ctl) =>
  (await client.json<InstanceAnswer>(["create", ...args], options)).instance.config as unknown as Record<
    string,
    unknown
  >;
let made = 0;
const alias = (): string[] => ["--alias", `p${made++}`];

describe("for a daemon on this machine", () => {
  test.each([
    ["m.gguf", "/w/m.gguf"],
    ["./a/../m.gguf", "/w/m.gguf"],
    ["~/m.gguf", "/h/m.gguf"],
    ["/m.gguf", "/m.gguf"],
    ["hf:org/name", "hf:org/name"],
  ])("--model %s is %s, w being where the client stands and h its home", async (given, expected) => {
    const cwd = temporaryFolder();
    const places = (text: string): string => text.replace(/^\/w/, cwd).replace(/^\/h/, ctl.home);
    const flags = ["llamacpp", ...alias(), `--model=${given}`, `--chat-template-file=${given}`];
    const found = await config(flags, { cwd });
    expect(found).toMatchObject({ model: places(expected), chat_template_file: places(expected) });
    // By its address it is the same daemon.
    const byUrl = ["llamacpp", ...alias(), "--model", given, "--url", daemon.url];
    expect((await config(byUrl, { cwd })).model).toBe(places(expected));
  });

  test.each([
    ["./local", "/w/local"],
    ["~/local", "/h/local"],
    ["org/name", "org/name"],
  ])("--model-id %s is %s", async (given, expected) => {
    const cwd = temporaryFolder();
    const { model_id } = await config(["huggingface_causal", ...alias(), `--model-id=${given}`], { cwd });
    expect(model_id).toBe(expected.replace(/^\/w/, cwd).replace(/^\/h/, ctl.home));
  });

  test("in a file a path is the file's folder's where something is there, else the daemon's", async () => {
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, "conf"));
    writeFileSync(join(cwd, "conf/m.gguf"), "");
    writeFileSync(join(cwd, "conf/i.yaml"), `model: m.gguf\nchat_template_file: none.jinja\nalias: p${made++}\n`);
    const found = await config(["-f", "conf/i.yaml"], { cwd });
    expect(found).toMatchObject({ model: join(cwd, "conf/m.gguf"), chat_template_file: "none.jinja" });
  });

  test("edit does so with what it changes, and leaves alone what is there", async () => {
    const { id } = await daemon.create({ model: "of/the/daemon.gguf", alias: "edited", api_key: "k" });
    const cwd = temporaryFolder();
    await ctl.ok(["edit", "edited", "--set", "chat_template_file=t.jinja"], { cwd });
    expect((await daemon.get(id)).config).toMatchObject({
      model: "of/the/daemon.gguf",
      chat_template_file: join(cwd, "t.jinja"),
    });
  });
});

test("a daemon elsewhere gets the paths as they are written", async () => {
  const laptop = new Ctl(temporaryFolder());
  const flags = ["llamacpp", ...alias(), "--model=~/m.gguf", "--url", daemon.url, "--key", KEY];
  // The daemon may expand it to its own home: the client is not to take its own for it.
  expect((await config(flags, { cwd: temporaryFolder() }, laptop)).model).not.toContain(laptop.home);
  const relative = ["llamacpp", ...alias(), "--model=m.gguf", "--url", daemon.url, "--key", KEY];
  expect((await config(relative, { cwd: temporaryFolder() }, laptop)).model).toBe("m.gguf");
});
