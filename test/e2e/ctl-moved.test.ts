import { expect, setDefaultTimeout, test } from "bun:test";
import { CtlProcess } from "../support/ctl-process.ts";
import { TestDaemon } from "../support/daemon.ts";
import { modelServersOf } from "../support/processes.ts";

/** A daemon on this machine that comes back on another port is waited for there. */

setDefaultTimeout(60_000);

test.each([
  [["wait", "--for", "stopped"], 0, ""],
  [["start", "--wait"], 1, "was stopped before it ran"],
])("%j goes on with the daemon that comes back on another port", async (words, code, says) => {
  const first = await TestDaemon.start({ env: { STOP_TIMEOUT: "2" } });
  const { id } = await first.createFake({ neverReady: true }, { alias: "slow" });
  await first.start(id, 0);
  await using ctl = CtlProcess.start([...words, id], { cwd: first.dir });
  await ctl.said("slow: ");
  await first.kill();
  await ctl.said("asking again");
  // The first one's port is not free for chance to give it again.
  using _taken = Bun.listen({
    hostname: "127.0.0.1",
    port: first.port,
    socket: { open: (one) => void one.end(), data: () => undefined },
  });
  await using second = await first.again();
  expect(second.port).not.toBe(first.port);
  await second.stop(id);
  expect(await ctl.ended()).toBe(code);
  expect(ctl.stderr).toContain(says);
  expect(modelServersOf(first.dir)).toEqual([]);
});
