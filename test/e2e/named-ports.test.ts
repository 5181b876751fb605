import { expect, setDefaultTimeout, test } from "bun:test";
import { TestDaemon } from "../support/daemon.ts";
import { whenSettled } from "../support/invariants.ts";

/** A port that a config names is that instance's, also while it does not run. */

setDefaultTimeout(60_000);

const START_PORT = 28_000 + (process.pid % 50) * 20;
const env = { START_PORT: String(START_PORT), STOP_TIMEOUT: "2" };

test("a boot gives a named port to no other instance, in any order of the file", async () => {
  await using daemon = await TestDaemon.start({ env });
  const auto = await daemon.createFake({}, { alias: "auto" });
  const named = await daemon.createFake({}, { alias: "named", port: START_PORT });
  for (const { id } of [named, auto]) expect((await daemon.start(id)).status).toBe(200);
  expect(await daemon.end()).toBe(0);
  await using next = await daemon.again();
  const instances = await whenSettled(next);
  expect(instances.map(({ status, error_message }) => [status, error_message])).toEqual([
    ["running", null],
    ["running", null],
  ]);
  expect(instances.find(({ id }) => id === named.id)?.port).toBe(START_PORT);
  expect(instances.find(({ id }) => id === auto.id)?.port).not.toBe(START_PORT);
});

test("a named port stays its instance's in the pause after a crash, and is free when no config names it", async () => {
  await using daemon = await TestDaemon.start({ env });
  const named = await daemon.createFake({}, { alias: "named", port: START_PORT });
  const auto = await daemon.createFake({}, { alias: "auto" });
  const { pid } = (await daemon.start(named.id)).body.instance;
  process.kill(pid ?? 2 ** 30, "SIGKILL");
  await daemon.whenStatus(named.id, "starting");
  expect((await daemon.start(auto.id)).body.instance.port).not.toBe(START_PORT);
  expect((await daemon.whenStatus(named.id, "running")).port).toBe(START_PORT);
  await daemon.stop(named.id);
  await daemon.stop(auto.id);
  await daemon.request("DELETE", `/instances/${named.id}`);
  expect((await daemon.start(auto.id)).body.instance.port).toBe(START_PORT);
});
