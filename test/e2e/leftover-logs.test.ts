import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PrunedLogs } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";

/** The log files of instances that were deleted: they stay, and there is a way to be rid of them. */

setDefaultTimeout(60_000);

const started = async (daemon: TestDaemon, alias: string): Promise<{ id: string; file: string }> => {
  const { id } = await daemon.createFake({}, { alias });
  await daemon.start(id);
  const { log_file } = await daemon.get(id);
  await daemon.stop(id);
  return { id, file: log_file ?? "" };
};

const prune = async (daemon: TestDaemon, query = ""): Promise<PrunedLogs> => {
  const { status, body } = await daemon.request<PrunedLogs>("POST", `/logs/prune${query}`);
  expect(status).toBe(200);
  return body;
};

const names = (daemon: TestDaemon): string[] => readdirSync(join(daemon.dir, "logs")).sort();

describe.concurrent("logs of a deleted instance", () => {
  test("stay, and are pruned alone: not those of an instance of a like name, of a stopped one, of another program", async () => {
    await using daemon = await TestDaemon.start();
    const gone = await started(daemon, "a");
    const kept = await started(daemon, "a_b");
    const foreign = join(daemon.dir, "logs", "a_1700000000.log");
    writeFileSync(foreign, "another program's\n");
    await daemon.request("DELETE", `/instances/${gone.id}`);
    const name = gone.file.split("/").at(-1) ?? "";
    expect(await prune(daemon, "?dry_run=true")).toEqual({ removed: [name], freed_bytes: expect.any(Number) });
    expect(existsSync(gone.file)).toBe(true);
    const { removed, freed_bytes } = await prune(daemon);
    expect(removed).toEqual([name]);
    expect(freed_bytes).toBeGreaterThan(0);
    expect([gone.file, kept.file, foreign].map((file) => existsSync(file))).toEqual([false, true, true]);
    expect(await prune(daemon)).toEqual({ removed: [], freed_bytes: 0 });
    expect((await daemon.logs(kept.id)).length).toBeGreaterThan(0);
  });

  test("are known as such by the next daemon too, and those of an entry that it cannot read are not", async () => {
    await using daemon = await TestDaemon.start();
    const gone = await started(daemon, "gone");
    const broken = await started(daemon, "broken");
    await daemon.request("DELETE", `/instances/${gone.id}`);
    await daemon.end();
    const config = daemon.configFile();
    for (const instance of config.instances) instance.config = { backend_type: "unheard-of" };
    writeFileSync(join(daemon.dir, "config.json"), JSON.stringify(config));
    await using next = await daemon.again();
    expect((await prune(next)).removed).toEqual([gone.file.split("/").at(-1) ?? ""]);
    expect([gone.file, broken.file].map((file) => existsSync(file))).toEqual([false, true]);
  });

  test("go with it where the deletion says so", async () => {
    await using daemon = await TestDaemon.start();
    const first = await started(daemon, "first");
    const second = await started(daemon, "second");
    expect((await daemon.request("DELETE", `/instances/${first.id}?logs=maybe`)).status).toBe(422);
    expect((await daemon.request("DELETE", `/instances/${first.id}?logs=true`)).status).toBe(200);
    expect(names(daemon)).toEqual([second.file.split("/").at(-1) ?? ""]);
    expect((await prune(daemon, "?dry_run=1")).removed).toEqual([]);
  });

  test("are named by ctl when it deletes, and removed by rm --logs and logs prune", async () => {
    await using daemon = await TestDaemon.start();
    for (const alias of ["one", "two"]) await started(daemon, alias);
    const ctl = Ctl.of(daemon);
    expect((await ctl.run(["rm", "one"])).err).toContain("its log files stay");
    expect(names(daemon)).toHaveLength(2);
    expect((await ctl.run(["rm", "--logs", "two"])).code).toBe(0);
    const [left = ""] = names(daemon);
    const dry = await ctl.run(["logs", "prune", "--dry-run"]);
    expect([dry.code, dry.out, dry.err]).toEqual([0, `${left}\n`, expect.stringContaining("1 log file")]);
    expect(await ctl.json<PrunedLogs>(["logs", "prune"])).toMatchObject({ removed: [left] });
    expect(names(daemon)).toEqual([]);
  });
});

test("logs are not pruned where the record of an instance's files is damaged: they could be its own", async () => {
  await using daemon = await TestDaemon.start();
  const { id, file } = await started(daemon, "damaged");
  await daemon.end();
  const config = daemon.configFile();
  for (const instance of config.instances) instance.config = { backend_type: "unheard-of" };
  writeFileSync(join(daemon.dir, "config.json"), JSON.stringify(config));
  const record = join(daemon.dir, ".solar-host/instances", `${id}.log.json`);
  for (const path of [record, `${record}.bak`]) writeFileSync(path, "{");
  await using next = await daemon.again();
  const { status, body } = await next.request<{ detail: string }>("POST", "/logs/prune");
  expect([status, body.detail]).toEqual([500, expect.stringContaining(id)]);
  expect(existsSync(file)).toBe(true);
});
