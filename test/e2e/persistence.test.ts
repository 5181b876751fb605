import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { InstanceAnswer } from "../../src/contract/index.ts";
import { callsOf, failAt, type Tracer } from "../support/crash.ts";
import { type Answer, TestDaemon } from "../support/daemon.ts";
import { canMount, fillDisk, removeFoldersAfterEach, temporaryFolder, tinyDisk } from "../support/folder.ts";
import { listOf, whenSettled } from "../support/invariants.ts";
import { requireBinary } from "../support/paths.ts";
import { isAlive, modelServersOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** What was acknowledged is on the disk; what cannot be put there is refused, with the reason, and changes nothing. */

setDefaultTimeout(120_000);
removeFoldersAfterEach();

const tracers: Tracer[] = [];
afterEach(async () => {
  for (const tracer of tracers.splice(0)) await tracer.detach();
});

const linux = process.platform === "linux";
const env = { STOP_TIMEOUT: "3", HEALTH_INTERVAL: "0", MAX_RETRIES: "1" };

const records = (daemon: TestDaemon): string => join(daemon.dir, ".solar-host/instances");
const temporary = (daemon: TestDaemon): string => join(daemon.dir, `config.json.${daemon.process.pid}.tmp`);

const copyOf = (daemon: TestDaemon): string => `${temporary(daemon)}.bak`;

/** From now on, until it is called again, such calls fail. */
const failing = async (daemon: TestDaemon, name: string, path: string, error: string): Promise<() => Promise<void>> => {
  const tracer = await failAt(daemon.process.pid, { name, path }, error);
  tracers.push(tracer);
  return async () => {
    tracers.splice(tracers.indexOf(tracer), 1);
    await tracer.detach();
  };
};

const config = (daemon: TestDaemon, alias: string) => ({
  config: { model: join(daemon.dir, "none.gguf"), alias, api_key: "instance-key" },
});

/** Each way to change the configuration is refused with the reason, and leaves everything as it was. */
const expectRefused = async (daemon: TestDaemon, id: string, reason: string): Promise<void> => {
  const list = await listOf(daemon);
  const file = readFileSync(join(daemon.dir, "config.json"), "utf8");
  const refused: Record<string, Promise<Answer<unknown>>> = {
    create: daemon.request("POST", "/instances", config(daemon, "refused")),
    update: daemon.request("PUT", `/instances/${id}`, config(daemon, "refused")),
    delete: daemon.request("DELETE", `/instances/${id}`),
  };
  for (const [what, answer] of Object.entries(refused)) {
    expect([what, await answer]).toEqual([
      what,
      {
        status: 500,
        body: {
          detail: expect.stringMatching(new RegExp(`^(?!.*\\bE[A-Z]{3,}:)Cannot save the configuration: .*${reason}`)),
        },
      },
    ]);
  }
  const start = await daemon.start(id);
  expect(start.status).toBe(500);
  expect(start.body.detail).toMatch(new RegExp(`^Failed to start instance: .*${reason}`));
  expect(modelServersOf(daemon.dir)).toEqual([]);
  expect((await listOf(daemon)).map(({ id, config, status }) => ({ id, config, status }))).toEqual(
    list.map(({ id, config, status }) => ({ id, config, status })),
  );
  for (const name of ["config.json", "config.json.bak"]) {
    // What has come of the refused start is saved as well, which fails and is put back.
    await until(`${name} to be as it was`, () => readFileSync(join(daemon.dir, name), "utf8") === file);
  }
};

const expectWorks = async (daemon: TestDaemon, id: string): Promise<void> => {
  expect((await daemon.request("POST", "/instances", config(daemon, "taken"))).status).toBe(200);
  expect((await daemon.start(id)).status).toBe(200);
  expect((await daemon.stop(id)).status).toBe(200);
};

/** In words: the system's codes are of no use to a person. */
const FULL = "no space is left on the disk that holds";
const FAILING = "fails: the kernel's log";

describe.skipIf(!linux)("a change that cannot be made durable is refused, and nothing is changed:", () => {
  const cases = {
    "a full disk": { call: "write", path: temporary, error: "ENOSPC", reason: FULL },
    "a failing fsync": { call: "fsync", path: temporary, error: "EIO", reason: FAILING },
    "a folder that cannot be synced": {
      call: "fsync",
      path: (daemon: TestDaemon) => daemon.dir,
      error: "EIO",
      reason: FAILING,
    },
    "a read-only folder": {
      call: "openat",
      path: temporary,
      error: "EROFS",
      reason: "is on a file system that is mounted read-only",
    },
    "a failing rename": { call: "rename", path: temporary, error: "EIO", reason: FAILING },
    "a disk that is full for its copy": { call: "write", path: copyOf, error: "ENOSPC", reason: FULL },
    "a failing fsync of its copy": { call: "fsync", path: copyOf, error: "EIO", reason: FAILING },
    "a failing rename of its copy": { call: "rename", path: copyOf, error: "EIO", reason: FAILING },
  };
  for (const [name, { call, path, error, reason }] of Object.entries(cases)) {
    test(name, async () => {
      await using daemon = await TestDaemon.start({ env });
      const { id } = await daemon.createFake();
      await daemon.createFake({}, { alias: "other" });
      const mend = await failing(daemon, call, path(daemon), error);
      await expectRefused(daemon, id, reason);
      await mend();
      await expectWorks(daemon, id);
      const before = await listOf(daemon);
      await daemon.kill();
      await using next = await daemon.again();
      expect(await whenSettled(next)).toEqual(before);
    });
  }

  // The case above stands for it where no disk can be mounted.
  test.skipIf(!canMount())("a real full disk, on which what runs goes on", async () => {
    const disk = tinyDisk(1024);
    const dir = join(disk, "daemon");
    mkdirSync(dir);
    await using daemon = await TestDaemon.start({ dir, env });
    const running = await daemon.createFake();
    const { pid, port } = (await daemon.start(running.id)).body.instance;
    const { id } = await daemon.createFake();
    const filler = join(dir, "filler");
    await fillDisk(filler, dir);
    const refused = await daemon.request("POST", "/instances", config(daemon, "refused"));
    expect(refused).toEqual({
      status: 500,
      body: { detail: expect.stringContaining(`${FULL} '${join(dir, "config.json")}'`) },
    });
    expect((await daemon.start(id)).body.detail).toContain(FULL);
    expect(await daemon.get(running.id)).toMatchObject({ status: "running", pid, port });
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    // A stop needs no room that it does not give back.
    rmSync(filler);
    await expectWorks(daemon, id);
    await daemon.kill();
    await using next = await daemon.again();
    expect(await next.get(running.id)).toMatchObject({ status: "running", pid, port });
    expect((await listOf(next)).map((instance) => instance.config.alias)).toEqual(["fake", "fake", "taken"]);
  });
});

describe.skipIf(!linux)("what was acknowledged", () => {
  test("was made durable first: the file, then its name", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    for (const [method, path, body] of [
      ["POST", "/instances", config(daemon, "new")],
      ["PUT", `/instances/${id}`, config(daemon, "new")],
      ["DELETE", `/instances/${id}`, undefined],
    ] as const) {
      const calls = await callsOf(daemon.process.pid, daemon.dir, async () => {
        expect((await daemon.request(method, path, body)).status).toBe(200);
      });
      const made = calls.map(({ name, path }) => `${name} ${path}`);
      const order = [
        `write ${temporary(daemon)}`,
        `fsync ${temporary(daemon)}`,
        `rename ${temporary(daemon)}`,
        `fsync ${daemon.dir}`,
      ].map((call) => made.indexOf(call));
      expect([method, order.includes(-1), order]).toEqual([method, false, order.toSorted((a, b) => a - b)]);
      const copied = [
        `write ${copyOf(daemon)}`,
        `fsync ${copyOf(daemon)}`,
        `rename ${copyOf(daemon)}`,
        `fsync ${daemon.dir}`,
      ].map((call) => made.indexOf(call));
      expect([method, copied.includes(-1), copied]).toEqual([method, false, copied.toSorted((a, b) => a - b)]);
    }
  });
});

describe.skipIf(!linux)("a start whose record", () => {
  test("cannot be written fails with the reason, and starts no process", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    const path = join(records(daemon), `${id}.launch.json.${daemon.process.pid}.tmp`);
    const mend = await failing(daemon, "write", path, "ENOSPC");
    const { status, body } = await daemon.start(id);
    expect([status, body.detail]).toEqual([500, expect.stringContaining(FULL)]);
    expect(modelServersOf(daemon.dir)).toEqual([]);
    await mend();
    expect((await daemon.start(id)).status).toBe(200);
  });

  test("of its log cannot be written fails too, and leaves no empty log", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    await failing(daemon, "fsync", join(records(daemon), `${id}.log.json.${daemon.process.pid}.tmp`), "EIO");
    const { status, body } = await daemon.start(id);
    expect([status, body.detail]).toEqual([500, expect.stringContaining(FAILING)]);
    expect(modelServersOf(daemon.dir)).toEqual([]);
    expect([...new Bun.Glob("*").scanSync(join(daemon.dir, "logs"))]).toEqual([]);
  });

  test("cannot be completed with the process goes on: the next daemon finds that by its mark", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake({ readyAfterMs: 1000 });
    await daemon.start(id, 0);
    // The first record was written before the process was started; all that come later cannot be.
    await until("a process", async () => (await daemon.get(id)).pid);
    const path = join(records(daemon), `${id}.launch.json`);
    const record = JSON.parse(readFileSync(path, "utf8"));
    await failing(daemon, "write", `${path}.${daemon.process.pid}.tmp`, "ENOSPC");
    const running = await daemon.whenStatus(id, "running");
    await daemon.kill();
    writeFileSync(path, JSON.stringify({ ...record, process: null }));
    await using next = await daemon.again();
    expect(await next.whenStatus(id, "running")).toMatchObject({ pid: running.pid, port: running.port });
    expect((await next.stop(id)).status).toBe(200);
    expect(isAlive(running.pid)).toBe(false);
  });
});

describe("a config.json that does not parse", () => {
  test("names one command that takes back all that was acknowledged, whatever the folder is called", async () => {
    const dir = join(temporaryFolder(), "it's a 'folder' of $HOME");
    mkdirSync(dir);
    await using daemon = await TestDaemon.start({ dir, env });
    const gone = await daemon.createFake({}, { alias: "gone" });
    const kept = await daemon.createFake({}, { alias: "kept" });
    expect((await daemon.request("DELETE", `/instances/${gone.id}`)).status).toBe(200);
    const newest = await daemon.createFake({}, { alias: "newest" });
    await daemon.kill();
    const broken = '{\n  "instances": [\n    {"id": 1,,}\n';
    writeFileSync(join(dir, "config.json"), broken);
    const refused = Bun.spawnSync([requireBinary(), "serve", "--port=0", "--host=127.0.0.1"], {
      cwd: dir,
      env: { PATH: process.env.PATH ?? "", HOME: dir, API_KEY: "k" },
    });
    expect(refused.exitCode).toBe(1);
    const said = refused.stderr.toString();
    expect(said).toContain(`${join(dir, "config.json")}:3:`);
    expect(readFileSync(join(dir, "config.json"), "utf8")).toBe(broken);
    const command = /take the last good copy back: (cp .*)$/m.exec(said)?.[1] ?? "";
    expect(Bun.spawnSync(["sh", "-c", command], { cwd: "/" }).exitCode).toBe(0);
    await using next = await daemon.again();
    expect((await listOf(next)).map(({ id }) => id)).toEqual([kept.id, newest.id]);
  });

  test("and has no earlier copy names no command", async () => {
    const dir = temporaryFolder();
    writeFileSync(join(dir, "config.json"), "");
    const refused = Bun.spawnSync([requireBinary(), "serve", "--port=0", "--host=127.0.0.1"], {
      cwd: dir,
      env: { PATH: process.env.PATH ?? "", HOME: dir, API_KEY: "k" },
    });
    expect([refused.exitCode, refused.stderr.toString()]).toEqual([1, expect.stringContaining("no earlier copy")]);
  });
});

describe("a config.json that is gone", () => {
  test("stops the boot, and no model, as long as its copy is there", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    await daemon.kill();
    rmSync(join(daemon.dir, "config.json"));
    const refused = await daemon.again().catch((error: Error) => error.message);
    expect(refused).toContain(`${join(daemon.dir, "config.json")} is gone`);
    const command = /last good copy back: (cp .*)$/m.exec(String(refused))?.[1] ?? "";
    expect(Bun.spawnSync(["sh", "-c", command], { cwd: "/" }).exitCode).toBe(0);
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
  });
});

describe("two daemons in one folder", () => {
  test("there are never, even where its own folder was removed under the first one", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    rmSync(join(daemon.dir, ".solar-host"), { recursive: true });
    const refused = await daemon.again().catch((error: Error) => error.message);
    // Not every system tells.
    const owner = `pid (${daemon.process.pid}|unknown)`;
    expect(refused).toMatch(new RegExp(`another solar-host \\(${owner}\\) already serves this directory`));
    expect(existsSync(join(daemon.dir, ".solar-host"))).toBe(false);
    expect(await daemon.get(id)).toMatchObject({ status: "running", pid });
    expect(await daemon.end()).toBe(0);
    await using next = await daemon.again();
    expect((await next.whenStatus(id, "running")).pid).not.toBe(pid);
  });
});

describe("a deletion", () => {
  test("is the last thing that happens to an instance: what was asked for behind it starts nothing", async () => {
    await using daemon = await TestDaemon.start({ env });
    let deletions = 0;
    for (let round = 0; round < 10; round++) {
      const { id } = await daemon.createFake();
      const [deleted, started, restarted] = await Promise.all([
        daemon.request("DELETE", `/instances/${id}`),
        daemon.start(id),
        daemon.request("POST", `/instances/${id}/restart`),
      ]);
      if (deleted.status === 200) {
        // Of one that a start came to first, the deletion is refused.
        deletions += 1;
        expect([started.status, restarted.status]).toEqual([404, 404]);
      } else {
        await daemon.stop(id);
        expect((await daemon.request("DELETE", `/instances/${id}`)).status).toBe(200);
      }
    }
    expect(deletions).toBeGreaterThan(0);
    expect([await listOf(daemon), modelServersOf(daemon.dir), daemon.configFile().instances]).toEqual([[], [], []]);
  });
});

describe("the answer to a stop", () => {
  test("comes when it is stored that it should not run: after SIGKILL it stays stopped", async () => {
    await using daemon = await TestDaemon.start({ env });
    const { id } = await daemon.createFake();
    await daemon.start(id);
    const { body } = (await daemon.stop(id)) as Answer<InstanceAnswer>;
    await daemon.kill();
    expect(body.instance.status).toBe("stopped");
    expect(daemon.configFile().instances[0]).toMatchObject({ id, desired: "stopped" });
    await using next = await daemon.again();
    expect((await whenSettled(next)).map(({ status }) => status)).toEqual(["stopped"]);
  });
});

test("what another program keeps in config.json outlives a change of the config, a restart and a deletion beside it", async () => {
  const dir = temporaryFolder();
  const config = { model: "/m", alias: "a", api_key: "k", priority: "production", hint: 1 };
  const created_at = "2025-10-01T08:30:00.123456";
  const entry = {
    id: "of-both",
    config,
    status: "stopped",
    created_at,
    managed_by: "solar-control",
    intent_id: "i",
    roles: ["r"],
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify({ roles: { r: 1 }, instances: [entry] }));
  await using daemon = await TestDaemon.start({ dir, env });
  const other = await daemon.createFake();
  const changed = { model: "/m2", alias: "a", api_key: "k", hint: 2 };
  const answer = await daemon.request<InstanceAnswer & { warnings: string[] }>("PUT", "/instances/of-both", {
    config: changed,
  });
  expect([answer.status, answer.body.warnings]).toEqual([200, ["unknown key 'hint' was left out"]]);
  await daemon.request("DELETE", `/instances/${other.id}`);
  await daemon.kill();
  await using next = await daemon.again();
  await next.createFake();
  expect((await next.get("of-both")).created_at).toBe(`${created_at}Z`);
  const file = next.configFile() as unknown as Record<string, unknown>;
  expect(file.roles).toEqual({ r: 1 });
  expect(next.configFile().instances[0]).toMatchObject({
    managed_by: "solar-control",
    intent_id: "i",
    roles: ["r"],
    created_at,
    config: { model: "/m2", priority: "production", hint: 1 },
  });
});
