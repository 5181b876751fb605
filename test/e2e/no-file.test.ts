import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { isRoot, removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { requireBinary } from "../support/paths.ts";

/** What stands in the place of a file of the daemon's and is none: a boot neither waits for it nor takes it for one. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const HANGS_MS = 10_000;

const boot = (dir: string) =>
  Bun.spawnSync([requireBinary(), "serve"], {
    cwd: dir,
    env: { PATH: process.env.PATH ?? "", HOME: dir, HOST: "127.0.0.1", PORT: "0", API_KEY: KEY },
    timeout: HANGS_MS,
  });

const makeSocket = async (path: string): Promise<void> => {
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  // Closing it would remove it.
  server.unref();
};

type Make = (path: string) => unknown;

const kinds: [words: string, make: Make][] = [
  ["a named pipe (FIFO)", (path) => Bun.spawnSync(["mkfifo", path])],
  ["a socket", makeSocket],
  ["a folder", (path) => mkdirSync(path)],
  // One of its own, and no link to one of the system's: what is tested is that nothing is put in its place.
  ...(isRoot ? [["a device", (path) => Bun.spawnSync(["mknod", path, "c", "1", "3"])] as [string, Make]] : []),
];

describe.each(["config.json", ".env"])("%s that is no file ends the boot with what it is:", (name) => {
  test.each(kinds)("%s", async (words, make) => {
    const dir = temporaryFolder();
    await make(join(dir, name));
    const before = lstatSync(join(dir, name)).ino;
    const { exitCode, stderr } = boot(dir);
    expect(stderr.toString().trim()).toMatch(/^solar-host: cannot read the (configuration|settings): [^\n]*$/);
    expect(stderr.toString()).toContain(`: '${dir}/${name}' is ${words} and no file`);
    expect(exitCode).toBe(name === ".env" ? 2 : 1);
    expect(lstatSync(join(dir, name)).ino).toBe(before);
  });
});

test("a backup that is a named pipe is no reason to wait, and is replaced", async () => {
  const dir = temporaryFolder();
  writeFileSync(join(dir, "config.json"), '{ "instances": [] }');
  Bun.spawnSync(["mkfifo", join(dir, "config.json.bak")]);
  await using daemon = await TestDaemon.start({ dir });
  expect(daemon.stderr).not.toContain("cannot save");
  expect(statSync(join(dir, "config.json.bak")).isFile()).toBe(true);
});

/** Whether files can be made immutable: by root, and not on every file system. */
const canFreeze = (): boolean => {
  if (!isRoot || process.platform !== "linux" || Bun.which("chattr") === null) return false;
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, "");
  return (["+i", "-i"] as const).every((flag) => Bun.spawnSync(["chattr", flag, path]).exitCode === 0);
};

test.skipIf(!canFreeze())(
  "a config.json that is immutable is said to be so, with what shows and ends that",
  async () => {
    const dir = temporaryFolder();
    const path = join(dir, "config.json");
    writeFileSync(path, '{ "instances": [] }');
    await using daemon = await TestDaemon.start({ dir });
    await daemon.end();
    Bun.spawnSync(["chattr", "+i", path]);
    const next = await daemon.again();
    Bun.spawnSync(["chattr", "-i", path]);
    await next.end();
    expect(next.stderr).toMatch(/cannot save the configuration: .*config\.json'.* immutable: lsattr .* chattr -i/);
  },
);

test("a client in the folder of a daemon waits for no named pipe in the place of its .env", async () => {
  const dir = temporaryFolder();
  await using daemon = await TestDaemon.start({ dir });
  Bun.spawnSync(["mkfifo", join(dir, ".env")]);
  const done = Bun.spawnSync([requireBinary(), "ctl", "ls"], {
    cwd: dir,
    env: { PATH: process.env.PATH ?? "", HOME: temporaryFolder() },
    timeout: HANGS_MS,
  });
  expect([done.signalCode ?? null, daemon.port > 0]).toEqual([null, true]);
});
