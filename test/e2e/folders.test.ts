import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import type { LaunchRecord } from "../../src/model-server/launch-record.ts";
import { identify } from "../../src/process/identity.ts";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot } from "../support/folder.ts";
import { isAlive } from "../support/processes.ts";
import { until } from "../support/until.ts";

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
    // As a number of its own: the same digits may stand in a time or an id.
    expect(third.stderr).not.toMatch(new RegExp(`process(es)? [\\d, ]*\\b${served.pid}\\b`));
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

/** As `cp -r` does it, with what it holds of its daemon. */
const copyOf = (place: { dir: string }, daemon: TestDaemon, name: string): string => {
  const copy = join(place.dir, name);
  // It goes on where a file vanishes meanwhile: the daemon's temporary ones do.
  Bun.spawnSync(["cp", "-r", daemon.dir, copy], { stderr: "ignore" });
  return copy;
};

describe.concurrent("a copy of a folder", () => {
  test("beside the daemon that serves the original says so, and starts its own beside what that one runs", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    const served = await startFake(first);
    place.ends(served.pid);
    const dir = copyOf(place, first, "copy");
    await using second = await TestDaemon.start({ dir, env });
    const [said, adopted] = [/copy of a daemon's folder/, /belongs to the daemon with pid/].map((what) =>
      second.stderr.search(what),
    );
    expect(said).toBeGreaterThanOrEqual(0);
    expect(adopted).toBeGreaterThan(said ?? 0);
    const own = await second.whenStatus(served.id, "running");
    expect(own.pid).not.toBe(served.pid);
    expect(own.port).not.toBe(served.port);
    // Neither its end nor that of a later daemon there ends what the original runs.
    await second.stop(served.id);
    await second.kill();
    await using third = await second.again();
    expect(third.stderr).not.toContain("copy of a daemon's folder");
    expect(await third.end()).toBe(0);
    expect(await first.get(served.id)).toMatchObject({ status: "running", pid: served.pid });
  });

  test("leaves what the original's daemon left when it was killed, for the next one there", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    const served = await startFake(first);
    place.ends(served.pid);
    await first.kill();
    await using second = await TestDaemon.start({ dir: copyOf(place, first, "copy"), env });
    expect((await second.whenStatus(served.id, "running")).pid).not.toBe(served.pid);
    await second.end();
    await using next = await first.again();
    expect(await next.get(served.id)).toMatchObject({ status: "running", pid: served.pid });
  });

  test("of which a daemon of an older version made the records leaves the processes of the original", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    const { id } = await first.createFake();
    await first.kill();
    const path = place.folder("app");
    const old = Bun.spawn(["sleep", "600"], {
      detached: true,
      env: { SOLAR_HOST_FOLDER: path, SOLAR_HOST_LAUNCH: "old" },
    });
    place.ends(old.pid);
    const dir = copyOf(place, first, "copy");
    rmSync(join(dir, ".solar-host/identity.json"));
    const record = {
      mark: "old",
      port: 1,
      log_file: "x",
      first_seq: 0,
      command: [],
      started_at: "2020-01-01T00:00:00Z",
    };
    const rest = { status: "running", process: identify(old.pid), crashes: 0, retry_count: 0 };
    writeFileSync(recordPath(dir, id), JSON.stringify({ ...record, ...rest }));
    await using second = await TestDaemon.start({ dir, env });
    expect(second.stderr).toContain(`process ${old.pid} belongs to another folder's daemon`);
    expect(await second.get(id)).toMatchObject({ status: "stopped", pid: null });
    expect(isAlive(old.pid)).toBe(true);
  });
});

test("a daemon that finds processes of its folder owned by one that lives touches nothing, and does not start", async () => {
  await using first = await TestDaemon.start({ env });
  const { id, pid } = await startFake(first);
  const record = readRecord(first.dir, id);
  await first.kill();
  // The test itself is the owner, as a daemon that the lock has failed to tell of would be.
  const owned = JSON.stringify({ ...record, owner: identify(process.pid) });
  writeFileSync(recordPath(first.dir, id), owned);
  const refused = await first.again().catch((error: Error) => error.message);
  expect(refused).toContain(`another solar-host (pid ${process.pid}) owns processes of this directory`);
  expect(readFileSync(recordPath(first.dir, id), "utf8")).toBe(owned);
  expect(isAlive(pid)).toBe(true);
  process.kill(-(pid ?? 0), "SIGKILL");
});

describe.concurrent("a config.json that several folders share", () => {
  const refusedIn = (dir: string): Promise<unknown> =>
    TestDaemon.start({ dir, env }).then(
      () => "it started",
      (error: Error) => error.message,
    );

  test.each([
    ["by links to a third place", "shared/config.json"],
    ["by links to a file that is not there yet", "shared/later.json"],
    ["by a link to a link", "shared/link.json"],
  ])("%s is written by one daemon", async (_, target) => {
    using place = arena();
    writeFileSync(join(place.folder("shared"), "config.json"), '{"instances": []}');
    symlinkSync("config.json", join(place.dir, "shared/link.json"));
    for (const name of ["one", "two"]) symlinkSync(join(place.dir, target), join(place.folder(name), "config.json"));
    await using first = await TestDaemon.start({ dir: join(place.dir, "one"), env });
    expect(await refusedIn(join(place.dir, "two"))).toContain(
      `another solar-host (pid ${first.process.pid}) already writes '${realpathSync(place.dir)}/shared/`,
    );
    await first.createFake();
    await first.end();
    await using second = await TestDaemon.start({ dir: join(place.dir, "two"), env });
    expect((await second.request<Instance[]>("GET", "/instances")).body).toHaveLength(1);
  });

  test("by a link into the folder of another daemon is written by one of them", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("one"), env });
    symlinkSync(join(place.dir, "one/config.json"), join(place.folder("two"), "config.json"));
    const refused = await refusedIn(join(place.dir, "two"));
    expect(refused).toContain(`another solar-host (pid ${first.process.pid}) already writes`);
  });

  test("by links to two files of one folder is written by each", async () => {
    using place = arena();
    place.folder("shared");
    for (const name of ["one", "two"]) {
      symlinkSync(join(place.dir, "shared", `${name}.json`), join(place.folder(name), "config.json"));
    }
    await using first = await TestDaemon.start({ dir: join(place.dir, "one"), env });
    await using second = await TestDaemon.start({ dir: join(place.dir, "two"), env });
    expect([await first.createFake(), await second.createFake()]).toHaveLength(2);
  });

  test("as a path that another folder has by now, after `mv`, is not written over", async () => {
    using place = arena();
    await using first = await TestDaemon.start({ dir: place.folder("app"), env });
    renameSync(join(place.dir, "app"), join(place.dir, "app.old"));
    await using second = await TestDaemon.start({ dir: place.folder("app"), env });
    const { id } = await second.createFake();
    const config = { model: "/m", alias: "a", api_key: "k" };
    const { status, body } = await first.request<{ detail: string }>("POST", "/instances", { config });
    expect([status, body.detail]).toEqual([500, expect.stringContaining("was moved or replaced since the start")]);
    expect(second.configFile().instances.map((instance) => instance.id)).toEqual([id]);
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
  /** With a mark of its own: a daemon that ends what bears its record's mark must not meet that of another test. */
  const startOld = (folder: string, mark: string) =>
    Bun.spawn(["sleep", "600"], { detached: true, env: { SOLAR_HOST_FOLDER: folder, SOLAR_HOST_LAUNCH: mark } });

  test("and that no record tells of are told of, and not ended", async () => {
    await using daemon = await TestDaemon.start({ env });
    await daemon.createFake();
    await daemon.kill();
    const old = startOld(daemon.dir, "unrecorded");
    await using next = await daemon.again();
    expect(next.stderr).toContain(`processes ${old.pid} were started by an older solar-host`);
    expect(isAlive(old.pid)).toBe(true);
    old.kill("SIGKILL");
  });

  test("and that a record tells of are taken over, and owned from then on", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await startFake(daemon);
    const { folder, owner, ...record } = readRecord(daemon.dir, id);
    await daemon.stop(id);
    await daemon.kill();
    const old = startOld(daemon.dir, "recorded");
    const rest = { mark: "recorded", status: "running", process: identify(old.pid) };
    writeFileSync(recordPath(daemon.dir, id), JSON.stringify({ ...record, ...rest }));
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "running", pid: old.pid });
    expect(readRecord(next.dir, id)).toMatchObject({ folder, owner: { ...owner, ...identify(next.process.pid) } });
  });
});

test("a daemon whose folder was moved leaves alone what the daemon of the old path records", async () => {
  const parent = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  try {
    const path = join(parent, "app");
    mkdirSync(path);
    await using first = await TestDaemon.start({ dir: path });
    const { id } = await first.createFake();
    const { pid } = (await first.start(id)).body.instance;
    renameSync(path, `${path}.old`);
    cpSync(`${path}.old`, path, { recursive: true });
    await using second = await TestDaemon.start({ dir: path });
    const own = await second.whenStatus(id, "running");
    expect(own.pid).not.toBe(pid);
    const record = join(path, ".solar-host/instances", `${id}.launch.json`);
    const before = readFileSync(record, "utf8");
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    const refused = await first.whenStatus(id, "failed");
    expect(refused.error_message).toContain("was moved or replaced");
    await first.end();
    expect(readFileSync(record, "utf8")).toBe(before);
    await second.kill();
    await using third = await second.again();
    expect(await third.get(id)).toMatchObject({ status: "running", pid: own.pid });
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

test("after `.solar-host` was removed under its daemon, the next one still knows what this one started", async () => {
  using place = arena();
  await using first = await TestDaemon.start({ dir: place.folder("app"), env });
  const { id, pid } = await startFake(first);
  place.ends(pid);
  const identity = join(place.dir, "app/.solar-host/identity.json");
  const before = JSON.parse(readFileSync(identity, "utf8")).id;
  rmSync(join(place.dir, "app/.solar-host"), { recursive: true });
  await until("the identity to be put back", () => existsSync(identity) || null);
  expect(JSON.parse(readFileSync(identity, "utf8")).id).toBe(before);
  await first.kill();
  await using next = await first.again();
  await until("the model to run again", async () => (await next.get(id)).status === "running" || null);
  expect(isAlive(pid ?? 0)).toBe(false);
});
