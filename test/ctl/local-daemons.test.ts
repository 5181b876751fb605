import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { urlOf } from "../../src/common/endpoint.ts";
import { type DaemonRecord, daemonRecordFolder } from "../../src/contract/index.ts";
import { changeContexts, contextsPath, looseMode, readContexts } from "../../src/ctl/contexts.ts";
import { lookInFolder } from "../../src/ctl/daemon-folder.ts";
import { findLocalDaemons, isRunning, startTimeOfStat } from "../../src/ctl/local-daemons.ts";
import { identify } from "../../src/process/identity.ts";
import { leaveRecord } from "../../src/server/daemon-record.ts";
import { readEnvFile } from "../../src/store/settings.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { fakeIo } from "./fake-io.ts";

removeFoldersAfterEach();

/** The record of this very process. */
const own = (): DaemonRecord => {
  const identity = identify(process.pid);
  if (identity === null) throw new Error("this process does not run");
  return {
    url: "http://127.0.0.1:1",
    directory: "/srv",
    key: "k",
    version: "3.0.0",
    pid: identity.pid,
    start_time: identity.startTime,
    boot_id: identity.bootId,
    ...(identity.pidNamespace === undefined ? {} : { pid_namespace: identity.pidNamespace }),
  };
};

/** Another process, which began in a later tick of the clock: in the same one the two could not be told apart. */
const startedLater = async ({ start_time }: DaemonRecord): Promise<Bun.Subprocess> => {
  for (;;) {
    const child = Bun.spawn(["sleep", "60"], { stdin: "ignore" });
    if (identify(child.pid)?.startTime !== start_time) return child;
    child.kill();
    await child.exited;
  }
};

test("the client reads the same start time as the daemon wrote, and takes no other process for it", async () => {
  const record = own();
  expect(await isRunning(record)).toBe(true);
  expect(await isRunning({ ...record, start_time: `${record.start_time}1` })).toBe(false);
  const other = await startedLater(record);
  try {
    expect(await isRunning({ ...record, pid: other.pid })).toBe(false);
  } finally {
    other.kill();
    await other.exited;
  }
  expect(await isRunning({ ...record, pid: 2 ** 22 + 1 })).toBe(false);
  expect(await isRunning({ ...record, boot_id: "another run of the machine" })).toBe(process.platform === "darwin");
});

test("a program's name with blanks and parentheses does not shift the start time", () => {
  const rest = ["S", ...Array.from({ length: 18 }, (_, n) => String(n)), "4711", "9"].join(" ");
  expect(startTimeOfStat(`42 (a ) (b) ${rest}`)).toBe("4711");
  expect(startTimeOfStat("nonsense")).toBeNull();
});

const withState = async (run: (state: string) => unknown): Promise<void> => {
  const state = temporaryFolder();
  const before = process.env.XDG_STATE_HOME;
  process.env.XDG_STATE_HOME = state;
  try {
    await run(state);
  } finally {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
  }
};

test("a daemon's record is found, readable by nobody else, and gone when it is removed", async () => {
  await withState(async (state) => {
    const io = fakeIo({ env: { XDG_STATE_HOME: state } });
    const directory = temporaryFolder();
    const warnings: string[] = [];
    const remove = leaveRecord({ host: "0.0.0.0", port: 8123, directory, key: "secret" }, (text) =>
      warnings.push(text),
    );
    const [found] = await findLocalDaemons(io);
    expect(found).toMatchObject({ url: "http://127.0.0.1:8123", directory, key: "secret", pid: process.pid });
    const folder = daemonRecordFolder(io.env, io.home);
    const [name = ""] = readdirSync(folder);
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    remove();
    expect([await findLocalDaemons(io), readdirSync(folder), warnings]).toEqual([[], [], []]);
  });
});

test("what a killed daemon left is ignored, and removed by the next one; other files are let be", async () => {
  await withState(async (state) => {
    const io = fakeIo({ env: { XDG_STATE_HOME: state } });
    const folder = daemonRecordFolder(io.env, io.home);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "dead.json"), JSON.stringify({ ...own(), start_time: "0" }));
    writeFileSync(join(folder, "broken.json"), "{");
    writeFileSync(join(folder, "other.json"), '{"a":1}');
    expect(await findLocalDaemons(io)).toEqual([]);
    const remove = leaveRecord({ host: "127.0.0.1", port: 1, directory: folder, key: "" }, (text) =>
      expect(text).toBe(""),
    );
    expect(existsSync(join(folder, "dead.json"))).toBe(false);
    expect(await findLocalDaemons(io)).toHaveLength(1);
    remove();
    expect(readdirSync(folder).sort()).toEqual(["broken.json", "other.json"]);
  });
});

test("a record that cannot be left is told and stops nothing", async () => {
  await withState(async (state) => {
    writeFileSync(join(state, "solar-host"), "a file where the folder should be");
    const warnings: string[] = [];
    leaveRecord({ host: "127.0.0.1", port: 1, directory: state, key: "" }, (text) => warnings.push(text))();
    expect(warnings[0]).toStartWith("no record for local clients");
  });
});

test.each([
  ["API_KEY=#abc\n", "#abc"],
  ["API_KEY=a#b\n", "a#b"],
  ["API_KEY=abc # why\n", "abc"],
  ["api_key=first\nAPI_KEY='two words'\n", "two words"],
  ["# API_KEY=x\n", null],
])("the key of a daemon's folder is what the daemon reads in its .env: %j", async (text, key) => {
  const directory = temporaryFolder();
  mkdirSync(join(directory, ".solar-host"));
  writeFileSync(join(directory, ".env"), text);
  expect((await lookInFolder(directory))?.key ?? null).toBe(key);
  expect(readEnvFile(join(directory, ".env"), {}).API_KEY ?? null).toBe(key);
});

test.each([
  ["0.0.0.0", "http://127.0.0.1:5"],
  ["::", "http://[::1]:5"],
  ["::1", "http://[::1]:5"],
  ["192.168.1.4", "http://192.168.1.4:5"],
  ["localhost", "http://localhost:5"],
])("a daemon that listens on %s is reached at %s", (host, url) => {
  expect(urlOf({ host, port: 5 })).toBe(url);
});

test("XDG folders are taken where they are absolute", () => {
  expect(daemonRecordFolder({ XDG_STATE_HOME: "/state/" }, "/home/u")).toBe("/state/solar-host/daemons");
  expect(daemonRecordFolder({ XDG_STATE_HOME: "relative" }, "/home/u")).toBe("/home/u/.local/state/solar-host/daemons");
  expect(contextsPath({ env: {}, home: "/home/u" })).toBe("/home/u/.config/solar-host/contexts.json");
});

test("contexts are kept where nobody else reads them, and looser rights are told", async () => {
  const io = fakeIo({ env: { XDG_CONFIG_HOME: temporaryFolder() } });
  expect(readContexts(io)).toEqual({ current: null, contexts: {} });
  const kept = { current: "a", contexts: { a: { url: "http://a:1", key: "k" } } };
  await changeContexts(io, () => kept);
  expect(readContexts(io)).toEqual(kept);
  expect(statSync(contextsPath(io)).mode & 0o777).toBe(0o600);
  expect(looseMode(io)).toBeNull();
  chmodSync(contextsPath(io), 0o644);
  expect(looseMode(io)).toContain("chmod 600");
});

test.each(["{", "[]", '{"current": 1, "contexts": {}}', '{"current": null, "contexts": {"a": {"url": "http://a"}}}'])(
  "contexts that are broken are told with the file's name: %s",
  async (text) => {
    const io = fakeIo({ env: { XDG_CONFIG_HOME: temporaryFolder() } });
    await changeContexts(io, (same) => same);
    writeFileSync(contextsPath(io), text);
    expect(() => readContexts(io)).toThrow(`${contextsPath(io)} is broken`);
  },
);
