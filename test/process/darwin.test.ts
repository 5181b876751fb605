import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NotToldError, output, outputLater, parseEnvironments, valueIn } from "../../src/process/darwin.ts";
import { environmentValue, groupMembers, processesWithEnv } from "../../src/process/group.ts";
import { bootId, identifyLater } from "../../src/process/identity.ts";
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

describe("a program that tells of the system", () => {
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

describe("the processes that `ps` of macOS tells", () => {
  const listed = [
    "    1     1 Ss   Mon Nov 24 09:00:00 2025    ",
    "  700   700 S    Mon Nov 24 10:00:00 2025    ",
    "  701   700 R+   Tue Nov 25 10:00:01 2025    ",
    "  702   700 Z    Tue Nov 25 10:00:02 2025    ",
    "  800   800 S    Tue Nov 25 10:00:03 2025    ",
  ];
  const { platform } = process;
  // What it does there is tried here, with a `ps` that answers as the one there does.
  const become = (name: NodeJS.Platform): void => void Object.defineProperty(process, "platform", { value: name });
  beforeAll(() => {
    // It is known from then on; there is no `sysctl` of macOS here.
    bootId();
    become("darwin");
  });
  afterAll(() => become(platform));

  /** Answers once it may, and leaves a dot for each time it was asked. */
  const slowPs = (): { calls: () => number; answer: () => void } => {
    const dir = temporaryFolder();
    const [calls, gate] = [join(dir, "calls"), join(dir, "gate")];
    const [withEnv, without] = ["  700 server --port 1 MARK=a", "  700 server --port 1"];
    fakePs(
      `printf . >> ${calls}; while [ ! -e ${gate} ]; do sleep 0.01; done
case "$*" in *-E*) echo '${withEnv}';; *command=*) echo '${without}';; *) printf '%s\\n' '${listed.join("' '")}';; esac`,
    );
    return {
      calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").length : 0),
      answer: () => appendFileSync(gate, ""),
    };
  };

  test("are asked for without blocking, by one `ps` for all who ask at once", async () => {
    const ps = slowPs();
    const asked = Promise.all([
      groupMembers(700),
      groupMembers(800),
      identifyLater(701),
      identifyLater(702),
      identifyLater(999),
      ...Array.from({ length: 50 }, () => groupMembers(1234)),
    ]);
    while (ps.calls() === 0) await Bun.sleep(1);
    ps.answer();
    const [group, other, known, zombie, gone] = await asked;
    expect([group, other, zombie, gone]).toEqual([[700, 701], [800], null, null]);
    expect(known).toMatchObject({ pid: 701, startTime: "Tue Nov 25 10:00:01 2025" });
    expect(ps.calls()).toBe(1);
  });

  test("are never told by a look that began before they were asked for", async () => {
    const ps = slowPs();
    const first = groupMembers(700);
    while (ps.calls() === 0) await Bun.sleep(1);
    const second = groupMembers(700);
    ps.answer();
    await Promise.all([first, second]);
    expect(ps.calls()).toBe(2);
  });

  test("and their environments are looked at together too", async () => {
    const ps = slowPs();
    ps.answer();
    const asked = Promise.all([
      processesWithEnv("MARK", "a"),
      processesWithEnv("MARK", "b"),
      environmentValue(700, "MARK"),
    ]);
    expect(await asked).toEqual([[700], [], "a"]);
    expect(ps.calls()).toBe(2);
  });

  test("are looked at again after a look that failed", async () => {
    fakePs("echo 'ps: no memory' >&2; exit 1");
    const failed = await Promise.allSettled([groupMembers(700), groupMembers(800)]);
    expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    slowPs().answer();
    expect(await groupMembers(800)).toEqual([800]);
  });
});
