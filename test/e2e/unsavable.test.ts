import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";
import { canMount, isRoot, removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { asNobody, NOBODY } from "../support/other-user.ts";

/** What cannot be written, by a change or by a start: said at the boot, not at the first of them. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const empty = JSON.stringify({ instances: [] });

/** The daemon of a user who owns the folder and what the test leaves to it. */
const owned = (files: Record<string, string>): string => {
  const dir = join(temporaryFolder(), "daemon");
  chmodSync(join(dir, ".."), 0o755);
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text);
    chownSync(join(dir, name), NOBODY, NOBODY);
  }
  chownSync(dir, NOBODY, NOBODY);
  return dir;
};

describe("what cannot be saved to is said at the boot", () => {
  test.skipIf(!canMount())("a config.json that is mounted by itself", async () => {
    const parent = temporaryFolder();
    const dir = join(parent, "daemon");
    mkdirSync(dir);
    for (const path of [join(dir, "config.json"), join(parent, "config.json")]) writeFileSync(path, empty);
    const under = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount --bind "$0" config.json && exec "$@"',
      join(parent, "config.json"),
    ];
    await using daemon = await TestDaemon.start({ dir, under });
    expect(daemon.stderr).toMatch(
      /error .*cannot save the configuration: '.*config\.json' .*a mount of its own.*mount its folder instead/,
    );
    const { status, body } = await daemon.request<{ detail: string }>("POST", "/instances", {
      config: { model: "/m", alias: "a", api_key: "k" },
    });
    expect([status, body.detail]).toEqual([500, expect.stringContaining("Cannot save the configuration")]);
  });

  test.skipIf(!canMount())("a backup that is mounted by itself", async () => {
    const parent = temporaryFolder();
    const dir = join(parent, "daemon");
    mkdirSync(dir);
    for (const name of ["config.json", "config.json.bak", "other"]) writeFileSync(join(dir, name), empty);
    const mount = 'mount --bind other config.json.bak && exec "$@"';
    await using daemon = await TestDaemon.start({ dir, under: ["unshare", "--mount", "sh", "-c", mount, "sh"] });
    expect(daemon.stderr).toMatch(/error .*cannot save the configuration.*config\.json\.bak' .*a mount of its own/);
  });

  test("a backup that is a folder", async () => {
    const dir = temporaryFolder();
    writeFileSync(join(dir, "config.json"), empty);
    mkdirSync(join(dir, "config.json.bak"));
    await using daemon = await TestDaemon.start({ dir });
    expect(daemon.stderr).toMatch(
      /error .*cannot save the configuration: '\S*config\.json\.bak' is a folder and no file/,
    );
    await daemon.createFake().catch(() => undefined);
    await daemon.end();
    expect(daemon.stderr.match(/cannot save the configuration: /g)?.length).toBeGreaterThan(1);
    expect(daemon.stderr).not.toMatch(/Error: |\bE[A-Z]{3,}\b/);
  });

  test.skipIf(!isRoot)("a file of another user in a folder in which each may remove only what is theirs", async () => {
    const dir = owned({ ".env": "" });
    writeFileSync(join(dir, "config.json"), empty);
    chmodSync(join(dir, "config.json"), 0o644);
    chownSync(dir, 0, 0);
    chmodSync(dir, 0o1777);
    await using daemon = await TestDaemon.start({ dir, under: asNobody });
    expect(daemon.stderr).toMatch(
      /error .*cannot save the configuration.*this user has no permission for '\S*config\.json'/,
    );
  });

  test("and the trial leaves the file and its backup with what they held", async () => {
    const dir = temporaryFolder();
    const texts: [string, string][] = [
      ["config.json", '{ "instances": [], "theirs": 1.0 }'],
      ["config.json.bak", '{"instances":[],"older":true}'],
    ];
    for (const [name, text] of texts) writeFileSync(join(dir, name), text);
    await using daemon = await TestDaemon.start({ dir });
    expect(daemon.stderr).not.toContain("cannot save");
    for (const [name, text] of texts) expect(readFileSync(join(dir, name), "utf8")).toBe(text);
  });

  test.skipIf(!isRoot)("a folder of the file that is closed, behind a link", async () => {
    const closed = temporaryFolder();
    chmodSync(closed, 0o755);
    writeFileSync(join(closed, "config.json"), empty);
    mkdirSync(join(closed, ".solar-host"));
    chownSync(join(closed, ".solar-host"), NOBODY, NOBODY);
    const dir = owned({});
    await using daemon = await TestDaemon.start({
      dir,
      under: asNobody,
      env: { CONFIG_FILE: join(closed, "config.json") },
    });
    expect(daemon.stderr).toContain(`cannot save the configuration: this user has no permission for '${closed}'`);
  });

  test("and nothing is said where all is well, of a file that is not there yet either", async () => {
    await using daemon = await TestDaemon.start();
    expect(daemon.stderr).not.toContain("cannot save");
    await daemon.createFake();
    await daemon.end();
    await using next = await daemon.again();
    expect(next.stderr).not.toContain("cannot save");
  });
});

describe.skipIf(!isRoot)("a folder of the daemon's that a run as root left to root is said at the boot", () => {
  /** The stderr of a daemon whose folder of this name is root's, and what a start answers. */
  const startIn = async (name: string): Promise<{ stderr: string; status: number; detail: string }> => {
    const dir = owned({ "config.json": empty });
    mkdirSync(join(dir, ".solar-host", name), { recursive: true });
    chownSync(join(dir, ".solar-host"), NOBODY, NOBODY);
    await using daemon = await TestDaemon.start({ dir, under: asNobody });
    const { id } = await daemon.createFake();
    const { stderr } = daemon;
    const { status, body } = await daemon.start(id);
    return { stderr, status, detail: String(body.detail) };
  };

  test.each(["instances", "index"])("%s, and a start fails by it in words", async (name) => {
    const { stderr, status, detail } = await startIn(name);
    expect(stderr).toMatch(
      new RegExp(
        `error no instance can be started: this user has no permission for '\\S*/\\.solar-host/${name}': change`,
      ),
    );
    expect(status).toBe(500);
    expect(detail).toMatch(new RegExp(`instance: this user has no permission for '\\S*/\\.solar-host/${name}/`));
    expect(detail).not.toMatch(/\bE[A-Z]{3,}\b/);
  });

  test("states, with which instances start all the same", async () => {
    const { stderr, status } = await startIn("states");
    expect(stderr).toMatch(
      /error what an instance did is not kept for the next daemon: this user has no permission for '/,
    );
    expect(status).toBe(200);
  });

  test("logs, which ends the boot", async () => {
    const dir = owned({ "config.json": empty });
    mkdirSync(join(dir, "logs"));
    const refusal = await TestDaemon.start({ dir, under: asNobody }).catch((error: Error) => error.message);
    expect(refusal).toContain(`LOG_DIR: no log can be written there: this user has no permission for '${dir}/logs'`);
  });

  test("and nothing is said of folders that are the user's, or are not there yet", async () => {
    await using daemon = await TestDaemon.start({ dir: owned({ "config.json": empty }), under: asNobody });
    await daemon.createFake();
    expect(daemon.stderr).not.toMatch(/ error |no instance can be started|is not kept/);
  });
});

test.skipIf(!isRoot)(
  "a backup that is another user's, and may not be read, keeps no change from being saved",
  async () => {
    const dir = owned({ "config.json": empty });
    writeFileSync(join(dir, "config.json.bak"), empty, { mode: 0o600 });
    await using daemon = await TestDaemon.start({ dir, under: asNobody });
    const { status } = await daemon.request("POST", "/instances", {
      config: { model: "/m", alias: "a", api_key: "k" },
    });
    expect(status).toBe(200);
    expect(daemon.configFile().instances).toHaveLength(1);
  },
);
