import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot, removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** A daemon whose processes are numbered in a namespace of their own, as in a container that shares home and network. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const UNSHARED = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

test.skipIf(!isRoot)(
  "a daemon in another pid namespace is found by its folder, and no more once it is gone",
  async () => {
    const home = temporaryFolder();
    const folder = (name: string): string => {
      mkdirSync(join(home, name));
      return join(home, name);
    };
    const env = { XDG_STATE_HOME: join(home, "xdg-state") };
    await using one = await TestDaemon.start({ dir: folder("one"), env });
    const two = await TestDaemon.start({ dir: folder("two"), env, under: UNSHARED });
    // What stands before the daemon takes no SIGTERM.
    await using _ = { [Symbol.asyncDispose]: () => two.kill() };
    await one.createFake({}, { alias: "of-one" });
    await two.createFake({}, { alias: "of-two" });
    const ctl = new Ctl(home);
    const names = (words: string[], options = {}): Promise<string> => ctl.ok(["ls", "-o", "name", ...words], options);
    expect(await names([], { cwd: two.dir })).toBe("of-two\n");
    expect(await names([], { cwd: one.dir })).toBe("of-one\n");
    expect(await names(["--context", "./two"], { cwd: home })).toBe("of-two\n");
    expect((await ctl.run(["ls"])).err).toContain("several daemons run on this machine");
    // Where the home is another one, the folder's own record is all that there is.
    const elsewhere = { cwd: two.dir, env: { XDG_STATE_HOME: join(home, "none"), SOLAR_HOST_API_KEY: "" } };
    expect((await ctl.run(["health", "--key", "wrong"], elsewhere)).err).toContain(two.url);
    await two.kill();
    expect(await names([])).toBe("of-one\n");
    // Another daemon at the address of one that was killed is not taken for it.
    await one.end();
    const three = { API_KEY: "of-three", PORT: String(two.port) };
    await using _three = await TestDaemon.start({ dir: folder("three"), env: { ...env, ...three } });
    expect((await ctl.run(["ls", "--context", "./two"], { cwd: home })).code).toBe(6);
    expect(await ctl.ok(["ls", "-q"])).toBe("");
  },
);
