import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { identify } from "../../src/process/identity.ts";
import type { LaunchRecord } from "../../src/supervisor/host.ts";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot } from "../support/folder.ts";
import { isAlive } from "../support/processes.ts";

/** Several folders, each with a daemon: what one of them started is no business of the others. */

setDefaultTimeout(60_000);

const env = { STOP_TIMEOUT: "1" };

const startFake = async (daemon: TestDaemon): Promise<Instance> => {
  const { id } = await daemon.createFake();
  return (await daemon.start(id)).body.instance;
};

/** A folder for folders, gone at the end with all that its daemons started. */
const arena = () => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  const pids: number[] = [];
  return {
    dir,
    folder: (name: string): string => {
      mkdirSync(join(dir, name), { recursive: true });
      return join(dir, name);
    },
    ends: (pid: number | null): void => void pids.push(pid ?? 0),
    [Symbol.dispose]: () => {
      for (const pid of pids.filter(isAlive)) process.kill(-pid, "SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

const recordPath = (folder: string, id: string): string => join(folder, ".solar-host/instances", `${id}.launch.json`);

const readRecord = (folder: string, id: string): LaunchRecord =>
  JSON.parse(readFileSync(recordPath(folder, id), "utf8"));

describe.concurrent("a folder whose path another one has, or had", () => {
  test("after `mv` under its daemon: a new daemon under the old path ends nothing of it", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    const served = await startFake(first);
    place.ends(served.pid);
    renameSync(join(place.dir, "app"), join(place.dir, "app.old"));
    await using second = await TestDaemon.start({ dir: place.folder("app"), env });
    await startFake(second);
    await second.kill();
    await using third = await second.again();
    expect((await third.request<Instance[]>("GET", "/instances")).body).toHaveLength(1);
    expect(isAlive(served.pid)).toBe(true);
    expect(third.stderr).not.toContain(String(served.pid));
  });

  test("after `mv` of a folder whose daemon was killed: the next one there takes its models over", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    const served = await startFake(first);
    place.ends(served.pid);
    await first.kill();
    renameSync(join(place.dir, "app"), join(place.dir, "moved"));
    await using next = await TestDaemon.start({ dir: join(place.dir, "moved"), env });
    expect(await next.get(served.id)).toMatchObject({ status: "running", pid: served.pid });
    expect(next.stderr).not.toContain("is a copy");
  });

  test.skipIf(!isRoot)("in two containers that share the processes of the machine: each keeps its models", async () => {
    using place = arena();
    const app = place.folder("app");
    const mounted = (name: string): string[] => [
      ...["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && cd "$1" && shift && exec "$@"'],
      ...[place.folder(name), app],
    ];
    await using first = await TestDaemon.start({ dir: app, under: mounted("one"), env });
    const { body } = await first.request<{ instance: Instance }>("POST", "/instances", {
      config: { model: `${app}/model.gguf`, alias: "one", api_key: "instance-key", host: "127.0.0.1" },
    });
    writeFileSync(join(place.dir, "one", "model.gguf"), "{}");
    const served = (await first.start(body.instance.id)).body.instance;
    place.ends(served.pid);
    await using second = await TestDaemon.start({ dir: app, under: mounted("two"), env });
    const other = await second.request<{ instance: Instance }>("POST", "/instances", {
      config: { model: `${app}/model.gguf`, alias: "two", api_key: "instance-key", host: "127.0.0.1" },
    });
    expect(other.status).toBe(200);
    await second.kill();
    await using third = await second.again();
    expect((await third.request<Instance[]>("GET", "/instances")).body.map(({ config }) => config.alias)).toEqual([
      "two",
    ]);
    expect(await first.get(served.id)).toMatchObject({ status: "running", pid: served.pid });
    await first.end();
  });
});

describe.concurrent("the record of a start", () => {
  test("names the daemon that owns the process, and is written anew by the one that takes it over", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id, pid } = await startFake(daemon);
    const before = readRecord(daemon.dir, id);
    expect<unknown>(before.owner).toEqual(identify(daemon.process.pid));
    await daemon.kill();
    await using next = await daemon.again();
    expect<unknown>(readRecord(next.dir, id)).toEqual({ ...before, owner: identify(next.process.pid) });
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
  });
});

describe.concurrent("processes that bear the mark of older versions, a path", () => {
  const startOld = (folder: string) =>
    Bun.spawn(["sleep", "600"], { detached: true, env: { SOLAR_HOST_FOLDER: folder, SOLAR_HOST_LAUNCH: "old" } });

  test("and that no record tells of are told of, and not ended", async () => {
    await using daemon = await TestDaemon.start({ env });
    await daemon.createFake();
    await daemon.kill();
    const old = startOld(daemon.dir);
    await using next = await daemon.again();
    expect(next.stderr).toContain(`processes ${old.pid} were started by an older solar-host`);
    expect(isAlive(old.pid)).toBe(true);
    old.kill("SIGKILL");
  });

  test("and that a record tells of are taken over, and owned from then on", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id, pid } = await startFake(daemon);
    await daemon.kill();
    const { folder, owner, ...old } = readRecord(daemon.dir, id);
    writeFileSync(recordPath(daemon.dir, id), JSON.stringify(old));
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
    expect(readRecord(next.dir, id)).toMatchObject({ folder, owner: { pid: next.process.pid } });
    expect(owner?.pid).toBe(daemon.process.pid);
  });
});
