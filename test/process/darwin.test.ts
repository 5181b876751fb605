import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NotToldError, output, outputLater, parseEnvironments, valueIn } from "../../src/process/darwin.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

describe("an environment that `ps` shows behind the arguments", () => {
  const without = [
    "    7 /usr/bin/llama-server --port 3500",
    "  501 grep MARK=a",
    "  502 sleep 1",
    "  503 sleep 2",
    "  504 sh -c echo MARK=a",
    "  505 gone",
    "  506 bare",
  ];
  const withEnv = [
    "    7 /usr/bin/llama-server --port 3500 PATH=/bin MARK=a HOME=/Users/x",
    "  501 grep MARK=a HOME=/Users/x",
    "  502 sleep 1 MARK=ab OTHER=1",
    "  503 sleep 2 XMARK=a",
    "  504 sh -c echo MARK=a PATH=/bin MARK=b",
    "  506 bare",
    "  507 came later MARK=a",
  ];
  const environments = parseEnvironments(`${withEnv.join("\n")}\n`, `${without.join("\n")}\n`);

  test.each<[string, number, string | null]>([
    ["has its entries", 7, "a"],
    ["has none of the arguments, as a `grep` for a mark has them", 501, null],
    ["has whole values", 502, "ab"],
    ["has whole names", 503, null],
    ["has what follows arguments that look like it", 504, "b"],
    ["of a process that has gone is none", 505, null],
    ["that is hidden, or empty, has nothing", 506, null],
    ["of a process that came between the two looks is not guessed at", 507, null],
  ])("%s", (_, pid, value) => {
    expect(valueIn(environments.get(pid), "MARK")).toBe(value);
  });
});

describe("a program that tells of the system", () => {
  const { PATH } = process.env;
  afterEach(() => {
    process.env.PATH = PATH;
  });

  /** A `ps` of ours, before the system's. */
  const fakePs = (script: string): void => {
    const dir = temporaryFolder();
    writeFileSync(join(dir, "ps"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, "ps"), 0o755);
    process.env.PATH = `${dir}:${PATH}`;
  };

  const both = async (): Promise<string[]> => [output(["ps"]), await outputLater(["ps"])];
  const failures = async (): Promise<unknown[]> => [
    await Promise.try(() => output(["ps"])).catch((error: unknown) => error),
    await outputLater(["ps"]).catch((error: unknown) => error),
  ];

  test("and succeeds is believed, also with nothing", async () => {
    fakePs("echo 1 S");
    expect(await both()).toEqual(["1 S\n", "1 S\n"]);
    fakePs("exit 0");
    expect(await both()).toEqual(["", ""]);
  });

  test("and ends with 1 without a word has found nothing", async () => {
    fakePs("exit 1");
    expect(await both()).toEqual(["", ""]);
  });

  test.each([
    ["says why", "echo 'ps: no memory' >&2; exit 1", "ps: no memory"],
    ["wrote a part before", "echo 1 S; exit 1", "exit code 1"],
    ["ends with another code", "exit 2", "exit code 2"],
    ["is killed", "kill -9 $$", "failed"],
  ])("and fails has not told that nothing is there, where it %s", async (_, script, reason) => {
    fakePs(script);
    for (const failure of await failures()) {
      expect(failure).toBeInstanceOf(NotToldError);
      expect(String(failure)).toContain(reason);
    }
  });

  test("and is not there has not told that nothing is there", async () => {
    process.env.PATH = temporaryFolder();
    for (const failure of await failures()) {
      expect(failure).toBeInstanceOf(NotToldError);
      expect(String(failure)).toContain("cannot be run");
    }
  });
});
