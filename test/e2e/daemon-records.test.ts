import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DaemonRecord } from "../../src/contract/daemon-record.ts";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot } from "../support/folder.ts";

/** The records by which local clients find the daemons of a home, which other containers may share. */

setDefaultTimeout(60_000);

const sharedHome = () => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  const records = join(dir, "state/solar-host/daemons");
  return {
    dir,
    env: { XDG_STATE_HOME: join(dir, "state") },
    records,
    names: (): string[] => readdirSync(records),
    folder: (name: string): string => {
      mkdirSync(join(dir, name), { recursive: true });
      return join(dir, name);
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
};

const changeRecord = (path: string, changes: Partial<DaemonRecord>): void =>
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...changes }));

test.each<[string, Partial<DaemonRecord>, boolean]>([
  ["whose process has gone is removed", {}, false],
  ["of another container stays", { pid_namespace: "pid:[1]" }, true],
  ["of another machine, or boot, stays", { boot_id: "another" }, true],
  ["that does not say in which container its pid counts stays", { pid_namespace: undefined }, true],
])("the record of a daemon %s", async (_, changes, stays) => {
  using home = sharedHome();
  await using first = await TestDaemon.start({ dir: home.folder("one"), env: home.env });
  const [name = ""] = home.names();
  await first.kill();
  changeRecord(join(home.records, name), changes);
  await using second = await TestDaemon.start({ dir: home.folder("two"), env: home.env });
  expect(home.names().includes(name)).toBe(stays);
  expect(home.names()).toHaveLength(stays ? 2 : 1);
  await second.end();
  expect(home.names().includes(name)).toBe(stays);
});

test("the next daemon of a folder takes the place of the record that one before it left", async () => {
  using home = sharedHome();
  await using first = await TestDaemon.start({ dir: home.folder("one"), env: home.env });
  const names = home.names();
  await first.kill();
  changeRecord(join(home.records, names[0] ?? ""), { boot_id: "another" });
  await using next = await first.again();
  expect(home.names()).toEqual(names);
  await next.end();
  expect(home.names()).toEqual([]);
});

test.skipIf(!isRoot)(
  "containers with folders of one path, and processes of their own, each keep their record",
  async () => {
    using home = sharedHome();
    const app = home.folder("app");
    const contained = (name: string): string[] => [
      ...["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"],
      ...['mount --bind "$0" "$1" && cd "$1" && shift && "$@" & wait', home.folder(name), app],
    ];
    await using first = await TestDaemon.start({ dir: app, env: home.env, under: contained("one") });
    await using second = await TestDaemon.start({ dir: app, env: home.env, under: contained("two") });
    const urls = home.names().map((name) => JSON.parse(readFileSync(join(home.records, name), "utf8")).url);
    expect(urls.sort()).toEqual([first.url, second.url].sort());
    await Promise.all([first.kill(), second.kill()]);
  },
);
