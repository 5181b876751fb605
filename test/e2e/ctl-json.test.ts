import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";

/** What programs read, and what a person may leave out. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;
let id: string;
beforeAll(async () => {
  daemon = await TestDaemon.start();
  ctl = Ctl.of(daemon);
  id = (await daemon.createFake({}, { alias: "only" })).id;
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

test("--json may stand before the verb, also before one with verbs of its own; ls -a is ls", async () => {
  for (const words of [["ls"], ["get", "only"], ["context", "ls"], ["memory"]]) {
    const before = JSON.parse(await ctl.ok(["--json", ...words])) as object;
    expect(Object.keys(before)).toEqual(Object.keys(await ctl.json<object>(words)));
  }
  expect(await ctl.ok(["ls", "-a", "-q"])).toBe(`${id}\n`);
});

test.each([
  [["get", "nothing"], 4, "notFound"],
  [["ls", "--url", "http://127.0.0.1:9"], 5, "unreachable"],
  [["ls", "--url", "HERE", "--key", "wrong"], 6, "refusedKey"],
  [["start"], 2, "usage"],
  [["nonsense"], 2, "usage"],
  [["ls", "x"], 2, "usage"],
  [["ls", "--nonsense"], 2, "usage"],
  [["context", "add"], 2, "usage"],
])("%j with --json fails with JSON on stdout", async (words, exitCode, code) => {
  const args = words.map((word) => (word === "HERE" ? daemon.url : word));
  const done = await ctl.run([...args, "--json"]);
  expect(done.code).toBe(exitCode);
  const { error } = JSON.parse(done.out) as { error: { message: string; code: string } };
  expect(error.code).toBe(code);
  expect(done.err).toContain(error.message);
});

test("of one instance alone the name may be left out where a verb only looks, and nowhere else", async () => {
  expect(await ctl.ok(["get", "-q"])).toBe(`${id}\n`);
  expect((await ctl.run(["logs"])).code).toBe(0);
  expect((await ctl.run(["state"])).code).toBe(3);
  for (const verb of ["start", "stop", "restart", "rm"]) expect((await ctl.run([verb])).code).toBe(2);
});

test("health --all counts an instance that was stopped as it should be, and by its name as not running", async () => {
  const { code, out } = await ctl.run(["health", "--all"]);
  expect({ code, out }).toEqual({ code: 0, out: "only  stopped\n" });
  expect((await ctl.run(["health", "only"])).code).toBe(3);
});
