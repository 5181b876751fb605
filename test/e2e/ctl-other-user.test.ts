import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ctl, ctlEnv, type Done } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { isRoot, removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { asNobody, NOBODY } from "../support/other-user.ts";
import { requireBinary } from "../support/paths.ts";

/** A daemon that left no record for this client: it has another home, or is another user's. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

/** The key stands in the daemon's `.env`, as it does where the daemon made it. */
const withKeyFile = (dir: string): string => {
  writeFileSync(join(dir, ".env"), `PORT=0\nAPI_KEY=${KEY}\n`, { mode: 0o600 });
  return dir;
};

describe("a daemon with another home", () => {
  test("is found in its folder and below, and by its folder's name, with the key of its .env", async () => {
    await using daemon = await TestDaemon.start({ dir: withKeyFile(temporaryFolder()) });
    await daemon.create({ model: "/m", alias: "found", api_key: "k" });
    const ctl = new Ctl(temporaryFolder());
    mkdirSync(join(daemon.dir, "below"));
    for (const [args, cwd] of [
      [["ls"], daemon.dir],
      [["ls"], join(daemon.dir, "below")],
      [["ls", "--context", daemon.dir], "/"],
      [["ls", "--context", "."], daemon.dir],
    ] as const)
      expect(await ctl.ok(args, { cwd })).toContain("found");
    expect(readFileSync(join(daemon.dir, ".solar-host/daemon.json"), "utf8")).not.toContain(KEY);
    // Elsewhere there is none, and it is said how one is found.
    const { code, err } = await ctl.run(["ls"]);
    expect(code).toBe(5);
    expect(err).toContain("--context <folder>");
  });

  test("is asked with a key that is given, and a wrong one is refused", async () => {
    await using daemon = await TestDaemon.start();
    const ctl = new Ctl(temporaryFolder());
    const options = { cwd: daemon.dir };
    expect((await ctl.run(["ls"], options)).code).toBe(6);
    expect((await ctl.run(["ls"], { ...options, env: { SOLAR_HOST_API_KEY: KEY } })).code).toBe(0);
    expect((await ctl.run(["ls", "--key", KEY], options)).code).toBe(0);
    expect((await ctl.run(["ls", "--key", "wrong"], options)).code).toBe(6);
  });

  test("that was killed is not taken for one that runs", async () => {
    await using daemon = await TestDaemon.start({ dir: withKeyFile(temporaryFolder()) });
    await daemon.kill();
    const ctl = new Ctl(temporaryFolder());
    for (const args of [["ls"], ["ls", "--context", "."]]) {
      const { code, err } = await ctl.run(args, { cwd: daemon.dir });
      expect(code).toBe(5);
      expect(err).toContain("no daemon of yours runs");
    }
  });

  test("is chosen in its folder though one of this home runs elsewhere", async () => {
    await using own = await TestDaemon.start();
    await using other = await TestDaemon.start({ dir: withKeyFile(temporaryFolder()) });
    await own.create({ model: "/m", alias: "of-mine", api_key: "k" });
    await other.create({ model: "/m", alias: "of-other", api_key: "k" });
    const ctl = Ctl.of(own);
    expect(await ctl.ok(["ls"], { cwd: other.dir })).toContain("of-other");
    expect(await ctl.ok(["ls"])).toContain("of-mine");
  });
});

/** `ctl` as another user. */
const ctlAsNobody = async (args: readonly string[], cwd: string, home: string): Promise<Done> => {
  const child = Bun.spawn([...asNobody, requireBinary(), "ctl", ...args], {
    cwd,
    env: ctlEnv(home),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, code };
};

describe.skipIf(!isRoot)("a daemon of another user, which only root can try", () => {
  test("whose files may not be read is said to be that user's, with the files", async () => {
    await using daemon = await TestDaemon.start({ dir: withKeyFile(temporaryFolder()) });
    chmodSync(daemon.dir, 0o755);
    const home = temporaryFolder();
    chownSync(home, NOBODY, NOBODY);
    for (const [args, cwd] of [
      [["ls"], daemon.dir],
      [["ls", "--context", daemon.dir], "/"],
    ] as const) {
      const { code, err } = await ctlAsNobody(args, cwd, home);
      expect(code).toBe(5);
      expect(err).toContain(`${daemon.dir}, of the user root`);
      expect(err).toContain(join(daemon.dir, ".env"));
      expect(err).toContain("sudo -u root solar-host ctl");
      expect(err).not.toContain("no daemon of yours");
    }
    chmodSync(daemon.dir, 0o700);
    const { code, err } = await ctlAsNobody(["ls", "--context", daemon.dir], "/", home);
    expect(code).toBe(5);
    expect(err).toContain(`you may not read ${daemon.dir}`);
  });

  test("is found by root in its folder", async () => {
    const dir = withKeyFile(temporaryFolder());
    chownSync(dir, NOBODY, NOBODY);
    chownSync(join(dir, ".env"), NOBODY, NOBODY);
    await using daemon = await TestDaemon.start({
      dir,
      under: asNobody,
    });
    await daemon.create({ model: "/m", alias: "of-nobody", api_key: "k" });
    const ctl = new Ctl(temporaryFolder());
    expect(await ctl.ok(["ls"], { cwd: dir })).toContain("of-nobody");
    const { err } = await ctl.run(["ls", "--key", "wrong"], { cwd: dir });
    expect(err).toContain("of the user nobody");
  });
});
