import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ctl, Terminal } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";

/** What the tab key offers where a file, one of a few words or a `name=value` is due. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;
beforeAll(async () => {
  daemon = await TestDaemon.start();
  ctl = Ctl.of(daemon);
  writeFileSync(join(ctl.home, "tiny model.gguf"), "");
  writeFileSync(join(ctl.home, "settings.json"), "{}");
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const values = async (...words: string[]): Promise<string[]> =>
  (await ctl.ok(["__complete", ...words]))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t")[0] ?? "");

const FILES = [":files"];

describe("file names are left to the shell", () => {
  test.each([
    ...["--config-file", "--log-dir", "--llama-server", "--python", "--api-key-file", "--dir"].map((flag) => [
      "serve",
      flag,
    ]),
    ["ctl", "create", "llamacpp", "--model"],
    ["ctl", "create", "llamacpp", "--chat-template-file"],
    ["ctl", "create", "huggingface_causal", "--model-id"],
    ["ctl", "edit", "-f"],
  ])("behind %s %s %s %s", async (...words) => {
    const whole = words.filter((word) => typeof word === "string");
    expect(await values(...whole, "")).toEqual(FILES);
    const flag = whole.at(-1) ?? "";
    if (flag.startsWith("--")) expect(await values(...whole.slice(0, -1), `${flag}=`)).toEqual(FILES);
  });

  test("behind a field of --set that holds a path", async () => {
    expect(await values("ctl", "edit", "x", "--set", "model=")).toEqual(FILES);
    expect(await values("ctl", "edit", "x", "--set", "chat_template_file=a")).toEqual(FILES);
  });

  test("and bash completes them with its own, below the home too and behind an equals sign", async () => {
    const env = { ...ctl.environment(), PS1: "ready> " };
    for (const [typed, expected] of [
      ["solar-host ctl create llamacpp --model ~/tiny", /~\/tiny\\ model\.gguf/],
      ["solar-host ctl create llamacpp --model=tiny", /--model=tiny\\ model\.gguf/],
      ["solar-host serve --config-file sett", /--config-file settings\.json/],
    ] as const) {
      using terminal = await Terminal.open(`cd ${ctl.home} && bash --norc -i`, env);
      await terminal.shows("ready>");
      terminal.type("source <(solar-host ctl completion bash); echo is-there", "Enter");
      await terminal.shows(/^is-there/m);
      terminal.type("-l", typed);
      terminal.type("Tab");
      await terminal.shows(expected);
    }
  });
});

describe("values of a few words are offered", () => {
  test("for settings of serve", async () => {
    expect(await values("serve", "--log-format", "")).toEqual(["human", "json"]);
    expect(await values("serve", "--log-level=w")).toEqual(["--log-level=warn"]);
    expect(await values("serve", "--keep-instances", "")).toEqual(["true", "false"]);
    expect(await values("serve", "--keep-instances", "--log-l")).toEqual(["--log-level"]);
    expect(await values("serve", "--port", "")).toEqual([]);
  });

  test("for -o of ls", async () => {
    expect(await values("ctl", "ls", "-o", "")).toEqual(["wide", "json", "name"]);
    expect(await values("ctl", "ls", "--output=n")).toEqual(["--output=name"]);
  });

  test("for edit --set of an instance: the fields of its backend and no other's", async () => {
    const { id } = await daemon.createFake({}, { alias: "of-llama" });
    for (const name of ["of-llama", id.slice(0, 8), "--all"]) {
      const found = await values("ctl", "edit", name, "--set", "");
      expect(found).toContain("ctx_size=");
      expect(found).not.toContain("device=");
    }
    expect(await values("ctl", "edit", "of-llama", "--set", "dtype=")).toEqual([]);
  });

  test("for edit --set: names of fields, then what the field takes", async () => {
    expect(await values("ctl", "edit", "x", "--set", "dev")).toEqual(["device="]);
    expect(await values("ctl", "edit", "x", "--set", "device=c")).toEqual(["device=cuda", "device=cpu"]);
    expect(await values("ctl", "edit", "x", "--set", "special=")).toEqual(["special=true", "special=false"]);
    expect(await values("ctl", "edit", "x", "--set=dty")).toEqual(["--set=dtype="]);
  });
});
