import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Ctl } from "../support/ctl.ts";
import { CtlProcess } from "../support/ctl-process.ts";
import { TestDaemon } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** What programs read, and what a person may leave out. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;
let id: string;
beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
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

interface Failure {
  error: { message: string; code: string };
}

describe("--json of a verb that fails for an instance", () => {
  let bad: string;
  beforeAll(async () => {
    bad = (await daemon.createFake({ exitCode: 3 }, { alias: "bad" })).id;
  });
  afterAll(async () => void (await ctl.ok(["rm", "--force", "bad", "-q"])));

  test.each([
    [["start", "bad", "--wait"], 1, "failure", "exited with code 3"],
    [["restart", "bad", "--wait"], 1, "failure", "exited with code 3"],
    [["wait", "only", "--timeout", "0.1"], 124, "timeout", "only is stopped"],
    [["state", "only"], 3, "notRunning", "only is stopped"],
    [["state", "-f", "only"], 3, "notRunning", "only is stopped"],
    [["health", "only"], 3, "notRunning", "only is stopped"],
    [["last", "only"], 4, "notFound", "only: "],
    [["logs", "nothing"], 4, "notFound", "there is no instance 'nothing'"],
    [["edit", "only", "--set", "temp=9"], 2, "usage", "these values are not taken: temp: Input should be"],
    [["create", "llamacpp", "--alias", "x"], 2, "usage", "does not take these values: model: Field required"],
  ])("%j has the error in place of the answer", async (words, exitCode, code, message) => {
    const done = await ctl.run([...words, "--json"]);
    expect(done.code).toBe(exitCode);
    const { error } = JSON.parse(done.out) as Failure;
    expect(error).toEqual({ message: expect.stringContaining(message), code });
    for (const part of error.message.split(/: |; /)) expect(done.err).toContain(part);
  });

  test("of several there is one array: an answer or an error of each, those of names that are none last", async () => {
    const done = await ctl.run(["start", "nothing", "bad", "only", "--wait", "--json"]);
    expect(done.code).toBe(4);
    const [first, second, third, ...more] = JSON.parse(done.out) as (Failure & { instance: { id: string } })[];
    expect([first?.error.code, second?.instance.id, third?.error.code, more]).toEqual(["failure", id, "notFound", []]);
    const kept = await ctl.run(["rm", "only", "--json"]);
    expect(kept.code).toBe(1);
    expect((JSON.parse(kept.out) as Failure).error.message).toContain("only is running, so it is kept");
    await ctl.ok(["stop", "only", "-q"]);
  });

  test("a stream has a line for it beside the others", async () => {
    const done = await ctl.run(["logs", "nothing", "bad", "--tail", "1", "--json"]);
    expect(done.code).toBe(4);
    const lines = done.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toHaveLength(2);
    expect(lines).toContainEqual({ error: { message: "there is no instance 'nothing'", code: "notFound" } });
  });

  test("a create whose start fails has the instance and the error", async () => {
    const { config } = await daemon.get(bad);
    const flags = [
      "--model",
      (config as { model: string }).model,
      "--alias",
      "worse",
      "--host",
      "127.0.0.1",
      "--start",
    ];
    const done = await ctl.run(["create", "llamacpp", ...flags, "--json"]);
    expect(done.code).toBe(1);
    const { error, instance } = JSON.parse(done.out) as Failure & { instance: { id: string } };
    expect(error.code).toBe("failure");
    await ctl.ok(["rm", "--force", instance.id, "-q"]);
  });

  test("an edit that changes nothing has the instance as it is", async () => {
    const { instance } = await ctl.json<{ instance: unknown }>(["edit", "only", "--set", "temp=1"]);
    expect(instance).toEqual(await daemon.get(id));
  });
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

test("between the attempts of one that keeps failing, health and state say why, how often and when the next one is", async () => {
  await using other = await TestDaemon.start({ env: { MAX_RETRIES: "9" } });
  const looping = await other.createFake({ exitCode: 3 }, { alias: "looping" });
  await other.start(looping.id, 0);
  // The pause before the fifth is seconds long.
  await until("its fourth failure", async () => (await other.get(looping.id)).failure?.attempts === 4);
  for (const words of [
    ["health", "looping"],
    ["health", "--all"],
    ["state", "looping"],
    ["state", "-f", "looping"],
  ]) {
    const { code, err } = await Ctl.of(other).run(words);
    expect(code).toBe(3);
    expect(err).toMatch(
      /looping is starting: attempt 4 of 9 failed: .*exited with code 3.*; next attempt in [\d.]+ s, at 20\d\d-/,
    );
  }
});

test("an interrupt is told to programs as an error, and is the usual end of a stream", async () => {
  const asked = Promise.withResolvers<void>();
  await using silent = Bun.serve({
    port: 0,
    fetch: () => {
      asked.resolve();
      return new Promise<Response>(() => undefined);
    },
  });
  await using waiting = CtlProcess.start(["ls", "--json", "--url", String(silent.url)], { cwd: daemon.dir });
  await asked.promise;
  expect(await waiting.interrupt()).toBe(130);
  expect(JSON.parse(waiting.stdout)).toEqual({ error: { message: "interrupted", code: "interrupted" } });
  await using stream = CtlProcess.start(["top", "--json", "--interval", "100ms"], { cwd: daemon.dir });
  await stream.printed("memory");
  expect(await stream.interrupt()).toBe(130);
  expect(stream.stdout).not.toContain("interrupted");
});
