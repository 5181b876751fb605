import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot } from "../support/folder.ts";

/** The daemon as process 1, as in a container without an init. */

setDefaultTimeout(60_000);

const own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const canUnshare = process.platform === "linux" && isRoot && Bun.spawnSync([...own, "true"]).exitCode === 0;

describe.skipIf(!canUnshare)("process 1 of a container", () => {
  test("serves, and says at its start that an init is missing; under an init it says nothing of it", async () => {
    await using daemon = await TestDaemon.start({ under: own });
    expect(daemon.stderr).toContain("process 1 of its container");
    expect(daemon.stderr).toContain("docker run --init");
    const { id } = await daemon.createFake();
    expect((await daemon.start(id)).body.instance.status).toBe("running");
    expect((await daemon.stop(id)).body.instance.status).toBe("stopped");
    await daemon.kill();
    await using led = await TestDaemon.start({ under: [...own, "sh", "-c", '"$@" & wait', "sh"] });
    expect(led.stderr).not.toContain("process 1");
    await led.kill();
  });
});
