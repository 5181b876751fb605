import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DaemonRecord, daemonRecordFolder } from "../../src/contract/index.ts";
import { type Contexts, changeContexts, parseUrl } from "../../src/ctl/contexts.ts";
import { CtlError } from "../../src/ctl/errors.ts";
import { allTargets, chooseTarget, type TargetOptions } from "../../src/ctl/target.ts";
import { ownIdentity } from "../../src/process/identity.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

/** As a daemon leaves it that is this very process. */
const record = (directory: string, port: number): DaemonRecord => {
  const { pid, startTime, bootId } = ownIdentity();
  return {
    url: `http://127.0.0.1:${port}`,
    directory,
    key: `key-of-${port}`,
    version: "3.0.0",
    pid,
    start_time: startTime,
    boot_id: bootId,
  };
};

const contexts: Contexts = {
  current: null,
  contexts: {
    gpu1: { url: "http://gpu1:8001", key: "key-of-gpu1" },
    here: { url: "http://127.0.0.1:1", key: "key-of-here" },
  },
};

interface World {
  env?: Record<string, string>;
  cwd?: string;
  current?: string;
  daemons?: DaemonRecord[];
}

/** A home in which these contexts are named and these daemons have left their records. */
const place = async ({ env = {}, cwd = "/", current, daemons = [] }: World) => {
  const home = temporaryFolder();
  const io = { env, cwd, home };
  await changeContexts(io, () => ({ ...contexts, current: current ?? null }));
  const folder = daemonRecordFolder(env, home);
  mkdirSync(folder, { recursive: true });
  for (const [at, daemon] of daemons.entries()) writeFileSync(join(folder, `${at}.json`), JSON.stringify(daemon));
  return io;
};

const choose = async (options: TargetOptions, world: World = {}) => chooseTarget(options, await place(world));

const exitCode = async (run: () => unknown): Promise<number> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof CtlError) return error.exitCode;
    throw error;
  }
  return 0;
};

const two = [record("/srv/a", 1), record("/srv/a/inner", 2)];

test.each<[string, TargetOptions, World, string, string]>([
  ["the daemon on this machine", {}, { daemons: [record("/srv/a", 9)] }, "http://127.0.0.1:9", "key-of-9"],
  ["the context in use before that", {}, { current: "gpu1", daemons: two }, "http://gpu1:8001", "key-of-gpu1"],
  [
    "the environment before that",
    {},
    { current: "gpu1", env: { SOLAR_HOST_URL: "gpu9:1", SOLAR_HOST_API_KEY: "e" } },
    "http://gpu9:1",
    "e",
  ],
  [
    "--context before that",
    { context: "gpu1" },
    { env: { SOLAR_HOST_URL: "http://x:1" } },
    "http://gpu1:8001",
    "key-of-gpu1",
  ],
  ["--url before that", { url: "http://x:2" }, { env: { SOLAR_HOST_URL: "http://x:1" } }, "http://x:2", ""],
  ["--key before the context's", { context: "gpu1", key: "k" }, {}, "http://gpu1:8001", "k"],
  ["the key of the context with that address", { url: "gpu1:8001/" }, {}, "http://gpu1:8001", "key-of-gpu1"],
  [
    "the key of the daemon with that address",
    { url: "http://localhost:9" },
    { daemons: [record("/srv/a", 9)] },
    "http://localhost:9",
    "key-of-9",
  ],
  ["of several daemons the one around", {}, { daemons: two, cwd: "/srv/a/x" }, "http://127.0.0.1:1", "key-of-1"],
  ["of several around the nearest", {}, { daemons: two, cwd: "/srv/a/inner/x" }, "http://127.0.0.1:2", "key-of-2"],
  [
    "the daemon of a directory",
    { context: "/srv/a" },
    { daemons: two, current: "gpu1" },
    "http://127.0.0.1:1",
    "key-of-1",
  ],
  [
    "'local' although a context is in use",
    { context: "local" },
    { daemons: [record("/srv/a", 9)], current: "gpu1" },
    "http://127.0.0.1:9",
    "key-of-9",
  ],
  ["the usual port where there is a key alone", { key: "k" }, {}, "http://127.0.0.1:8001", "k"],
])("chosen is %s", async (_, options, world, url, key) => {
  const target = await choose(options, world);
  expect([target.url, target.key]).toEqual([url, key]);
});

test("the key of one host is not sent to another: a context has its own, whatever the environment says", async () => {
  const target = await choose({ context: "gpu1" }, { env: { SOLAR_HOST_API_KEY: "other" } });
  expect(target.key).toBe("key-of-gpu1");
});

test.each<[string, TargetOptions, World, number]>([
  ["several daemons, and none around", {}, { daemons: two, cwd: "/srv/ab" }, 2],
  ["--context and --url", { context: "gpu1", url: "http://x" }, {}, 2],
  ["an address that is none", { url: "ftp://x" }, {}, 2],
  ["a context that there is not", { context: "gpu7" }, {}, 4],
  ["nothing at all", {}, {}, 5],
  ["a directory without a daemon", { context: "/srv/none" }, { daemons: two }, 5],
])("%s: the exit code says so", async (_, options, world, code) => {
  expect(await exitCode(() => choose(options, world))).toBe(code);
});

test("several daemons are listed by directory and address", async () => {
  const error = await choose({}, { daemons: two }).catch((thrown: CtlError) => thrown);
  expect(error).toMatchObject({
    message: expect.stringContaining("several daemons run on this machine"),
    hints: ["/srv/a  http://127.0.0.1:1", "/srv/a/inner  http://127.0.0.1:2", expect.any(String)],
  });
});

test.each<[TargetOptions, DaemonRecord, string]>([
  [{ url: "http://127.0.0.1:9" }, { ...record("/srv/a", 9), url: "http://localhost:9" }, "key-of-9"],
  [{ url: "localhost:1" }, record("/srv/a", 9), "key-of-here"],
])("the key of %j is found under the other name of this machine", async (options, daemon, key) => {
  expect((await choose(options, { daemons: [daemon] })).key).toBe(key);
});

test("a daemon that calls itself localhost is the one that is named by its number", async () => {
  const targets = await allTargets(await place({ daemons: [{ ...record("/srv/a", 1), url: "http://localhost:1" }] }));
  expect(targets.map(({ name }) => name)).toEqual(["gpu1", "here"]);
});

test("all hosts are the named ones, and the daemons here that are not among them", async () => {
  const targets = await allTargets(await place({ daemons: two }));
  expect(targets.map(({ name, url }) => [name, url])).toEqual([
    ["gpu1", "http://gpu1:8001"],
    ["here", "http://127.0.0.1:1"],
    ["local", "http://127.0.0.1:2"],
  ]);
});

test.each([
  ["gpu1:8001", "http://gpu1:8001"],
  ["http://gpu1:8001/", "http://gpu1:8001"],
  ["gpu1", "http://gpu1:8001"],
  ["gpu1:80", "http://gpu1"],
  ["http://gpu1", "http://gpu1"],
  ["[::1]", "http://[::1]:8001"],
  ["https://host/solar/", "https://host/solar"],
  ["[::1]:8001", "http://[::1]:8001"],
])("the address %s is kept as %s", (text, url) => {
  expect(parseUrl(text)).toBe(url);
});

test.each(["", "http://", "file:///etc", "http://user:pw@gpu1", "http://gpu1/?key=k", "a b"])(
  "'%s' is no address",
  async (text) => {
    expect(await exitCode(() => parseUrl(text))).toBe(2);
  },
);
