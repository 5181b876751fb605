import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";

setDefaultTimeout(60_000);

test("the sockets of an instance are closed at its deletion, however its id is escaped in their paths", async () => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  const id = "an id/with ümlaut";
  const config = { backend_type: "llamacpp", model: "/m", alias: "a", api_key: "k" };
  writeFileSync(join(dir, "config.json"), JSON.stringify({ instances: [{ id, config, status: "stopped" }] }));
  await using daemon = await TestDaemon.start({ dir });
  const everyByte = [...Buffer.from(id)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  const sockets = [encodeURIComponent(id), everyByte].flatMap((name) =>
    ["logs", "state"].map((kind) => daemon.socket(`/instances/${name}/${kind}`)),
  );
  for (const socket of sockets) await socket.opened;
  expect((await daemon.request("DELETE", `/instances/${encodeURIComponent(id)}`)).status).toBe(200);
  for (const socket of sockets) expect(await socket.closed).toEqual({ code: 1000, reason: "Instance deleted" });
});
