import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";
import { canMount, fillDisk, removeFoldersAfterEach, tinyDisk } from "../support/folder.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** A full disk under the logs: the model server goes on and its lines are lost, which is said wherever one would look. */

setDefaultTimeout(120_000);
removeFoldersAfterEach();

describe.skipIf(!canMount())("while the disk of the logs is full", () => {
  test("the model answers, the instance and the daemon's log say that lines are lost, and the log says where", async () => {
    const disk = tinyDisk(1024);
    await using daemon = await TestDaemon.start({
      llamaServer: realServer(),
      env: { LOG_DIR: disk },
    });
    const { id } = await daemon.create({
      model: tinyModel,
      alias: "tiny",
      api_key: "k",
      host: "127.0.0.1",
      ctx_size: 512,
    });
    const { port } = (await daemon.start(id)).body.instance;
    const ask = async (): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: "POST",
        headers: { Authorization: "Bearer k" },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], max_tokens: 4 }),
      });
      await answer.text();
      return answer.status;
    };
    const filler = join(disk, "filler");
    await fillDisk(filler, disk);
    const told = await until("the instance to say so", async () => {
      const instance = await daemon.get(id);
      return instance.error_message === null ? null : instance;
    });
    expect(told).toMatchObject({ status: "running", error_message: expect.stringContaining(disk) });
    expect(daemon.stderr).toMatch(new RegExp(`warn.*${disk}.* is full`));
    const last = (await daemon.logs(id, "?tail=1"))[0]?.seq ?? -1;
    // Its lines are lost now; it answers all the same.
    expect(await ask()).toBe(200);
    rmSync(filler);
    const note = await until("the note in the log", async () =>
      (await daemon.logs(id, `?after=${last}`)).find(({ line }) => line.includes("lines are missing here")),
    );
    expect(note.line).toMatch(/^solar-host: the disk of the logs was full from \S+Z to \S+Z: lines are missing here$/);
    expect((await daemon.get(id)).error_message).toBeNull();
    expect(await ask()).toBe(200);
    await until("lines behind the note", async () => (await daemon.logs(id, `?after=${note.seq}`))[0]);
  });
});
