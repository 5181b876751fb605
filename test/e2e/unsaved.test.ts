import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { failAt } from "../support/crash.ts";
import { TestDaemon } from "../support/daemon.ts";
import { canMount, fillDisk, removeFoldersAfterEach, temporaryFolder, tinyDisk } from "../support/folder.ts";
import { isAlive, modelServersOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** What runs, or should run, does so though nothing can be saved. */

setDefaultTimeout(120_000);
removeFoldersAfterEach();

const desiredOf = (daemon: TestDaemon, id: string): unknown =>
  daemon.configFile().instances.find((instance) => instance.id === id)?.desired;

describe.skipIf(process.platform !== "linux")("where nothing can be saved", () => {
  test("a restart leaves nothing dead: what should run runs again", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "3" } });
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    const temporary = join(daemon.dir, `config.json.${daemon.process.pid}.tmp`);
    const tracer = await failAt(daemon.process.pid, { name: "write", path: temporary }, "ENOSPC");
    try {
      const { status, body } = await daemon.request<{ instance: { status: string; pid: number } }>(
        "POST",
        `/instances/${id}/restart`,
      );
      expect([status, body.instance?.status]).toEqual([200, "running"]);
      expect(body.instance.pid).not.toBe(pid as number);
    } finally {
      await tracer.detach();
    }
    expect(desiredOf(daemon, id)).toBe("running");
  });

  test.skipIf(!canMount())("a boot does not forget what should run, and starts it as soon as it can", async () => {
    const disk = tinyDisk(1024);
    const dir = join(disk, "daemon");
    mkdirSync(dir);
    await using daemon = await TestDaemon.start({ dir, env: { STOP_TIMEOUT: "3", MAX_RETRIES: "1" } });
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    await daemon.kill();
    process.kill(pid ?? 2 ** 30, "SIGKILL");
    await until("it to be gone", () => !isAlive(pid));
    await fillDisk(join(dir, "filler"));
    await using full = await daemon.again();
    // It may be that a server cannot even write its log there.
    const told = await until("the outcome", async () => {
      const instance = await full.get(id);
      return instance.status === "running" || instance.error_message !== null ? instance : null;
    });
    expect(told.status).not.toBe("stopped");
    rmSync(join(dir, "filler"));
    // What is saved now is not that it should not run.
    await full.createFake({}, { alias: "other" });
    expect(desiredOf(full, id)).toBe("running");
    await full.kill();
    for (const pid of modelServersOf(dir)) process.kill(pid, "SIGKILL");
    await using next = await daemon.again();
    await next.whenStatus(id, "running");
  });

  test.skipIf(!canMount()).each(["killed", "told to end"])(
    "no operation is half done, neither now nor after the next boot, be the daemon %s: create, update, start, stop, delete",
    async (end) => {
      const disk = tinyDisk(1024);
      const dir = join(disk, "daemon");
      mkdirSync(dir);
      const LOG_DIR = join(temporaryFolder(), "logs");
      await using daemon = await TestDaemon.start({ dir, env: { STOP_TIMEOUT: "3", LOG_DIR } });
      const { id } = await daemon.createFake();
      const { instance: running } = (await daemon.start(id)).body;
      const idle = await daemon.createFake({}, { alias: "idle" });
      await fillDisk(join(dir, "filler"), dir);
      const path = `/instances/${idle.id}`;
      const config = { ...idle.config, alias: "another" };
      const answers = [
        await daemon.stop(id),
        await daemon.start(idle.id),
        await daemon.request("PUT", path, { config }),
        await daemon.request("DELETE", path),
        await daemon.request("POST", "/instances", { config }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([500, 500, 500, 500, 500]);
      expect(answers[0]?.body).toMatchObject({
        detail: expect.stringMatching(/^Failed to stop instance: Cannot save the configuration: /),
      });
      const asBefore = async (now: TestDaemon): Promise<void> => {
        const { status, pid, config } = await now.get(id);
        expect({ status, config }).toEqual({ status: "running", config: running.config });
        if (end === "killed") expect(pid).toBe(running.pid);
        expect(await now.get(idle.id)).toEqual(idle);
        expect((await now.request<unknown[]>("GET", "/instances")).body).toHaveLength(2);
      };
      await asBefore(daemon);
      expect(isAlive(running.pid)).toBe(true);
      await (end === "killed" ? daemon.kill() : daemon.end());
      await using full = await daemon.again();
      await full.whenStatus(id, "running");
      await asBefore(full);
      rmSync(join(dir, "filler"));
      expect((await full.stop(id)).status).toBe(200);
      await full.kill();
      await using next = await full.again();
      expect((await next.get(id)).status).toBe("stopped");
    },
  );

  test.skipIf(!canMount())(
    "of two stops at once neither is done, and a start behind them finds it running",
    async () => {
      const disk = tinyDisk(1024);
      const dir = join(disk, "daemon");
      mkdirSync(dir);
      await using daemon = await TestDaemon.start({ dir, env: { LOG_DIR: join(temporaryFolder(), "logs") } });
      const { id } = await daemon.createFake();
      const { pid } = (await daemon.start(id)).body.instance;
      await fillDisk(join(dir, "filler"), dir);
      const answers = await Promise.all([daemon.stop(id), daemon.stop(id), daemon.start(id)]);
      expect(answers.map(({ status }) => status)).toEqual([500, 500, 200]);
      const after = await daemon.get(id);
      expect([after.status, after.pid, desiredOf(daemon, id)]).toEqual(["running", pid, "running"]);
    },
  );
});
