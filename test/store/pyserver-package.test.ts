import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { withoutHome } from "../../src/store/home.ts";
import { pyserverUnpacker, unusedFolders } from "../../src/store/pyserver-package.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const files = Object.fromEntries(
  Array.from({ length: 40 }, (_, n) => [`package/sub${n % 3}/file${n}.py`, `n = ${n}\n`]),
);
const source = { hash: "abc", files };

const contentOf = (dir: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((path) => statSync(join(dir, path)).isFile())
      .map((path) => [path, readFileSync(join(dir, path), "utf8")]),
  );

const inodesOf = (dir: string): number[] => [dir, ...Object.keys(files).map((path) => join(dir, path))].map(inode);
const inode = (path: string): number => statSync(path).ino;

describe("the unpacked Python server", () => {
  test("is unpacked once for all that ask at the same time: several starts of one daemon, several daemons", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const daemons = Array.from({ length: 6 }, () => pyserverUnpacker(env, temporaryFolder(), source));
    const dirs = await Promise.all(daemons.flatMap((unpack) => [unpack(), unpack()]));
    expect(new Set(dirs)).toEqual(new Set([join(env.XDG_CACHE_HOME, "solar-host/pyserver-abc")]));
    expect(contentOf(dirs[0] ?? "")).toEqual(files);
  });

  test("is whole for each that was told of it, though others are still at it", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const daemons = Array.from({ length: 6 }, () => pyserverUnpacker(env, temporaryFolder(), source));
    const seen = await Promise.all(
      daemons.map(async (unpack) => {
        const dir = await unpack();
        return Object.keys(files).filter((path) => !existsSync(join(dir, path)));
      }),
    );
    expect(seen).toEqual(daemons.map(() => []));
  });

  test("is not touched while it is whole, also where it may only be read", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const dir = await pyserverUnpacker(env, temporaryFolder(), source)();
    const before = inodesOf(dir);
    chmodSync(dir, 0o555);
    expect(await pyserverUnpacker(env, temporaryFolder(), source)()).toBe(dir);
    expect(inodesOf(dir)).toEqual(before);
    chmodSync(dir, 0o755);
  });

  test("that is damaged is mended file by file: one that lacks, one that is cut, one that another daemon left half", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const unpack = pyserverUnpacker(env, temporaryFolder(), source);
    const dir = await unpack();
    mkdirSync(join(dir, "package/__pycache__"));
    writeFileSync(join(dir, "package/__pycache__/x.pyc"), "");
    const [first = "", second = "", ...rest] = Object.keys(files).map((path) => join(dir, path));
    const before = [dir, ...rest].map(inode);
    rmSync(first);
    writeFileSync(second, "n");
    expect(await unpack()).toBe(dir);
    expect(contentOf(dir)).toEqual({ ...files, "package/__pycache__/x.pyc": "" });
    expect([dir, ...rest].map(inode)).toEqual(before);
    rmSync(join(dir, "package/sub1"), { recursive: true });
    await unpack();
    expect(contentOf(dir)).toMatchObject(files);
  });

  test("that cannot be unpacked now is tried again by the next start", async () => {
    const env = { XDG_CACHE_HOME: join(temporaryFolder(), "cache") };
    writeFileSync(env.XDG_CACHE_HOME, "in the way");
    const unpack = pyserverUnpacker(env, join(env.XDG_CACHE_HOME, "state"), source);
    await expect(unpack()).rejects.toThrow();
    rmSync(env.XDG_CACHE_HOME);
    expect(contentOf(await unpack())).toEqual(files);
  });
});

describe("where it is unpacked", () => {
  const state = (): string => join(temporaryFolder(), "state");

  test("is the daemon's own folder where no home can be used: none, one that is not there, a file, a relative cache", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const homes = [
      { HOME: "/nonexistent" },
      { HOME: join(file, "home") },
      { HOME: "/nonexistent", XDG_CACHE_HOME: "relative" },
      { XDG_CACHE_HOME: join(file, "cache") },
    ];
    for (const env of homes) {
      const stateDir = state();
      expect(await pyserverUnpacker(env, stateDir, source)()).toBe(join(stateDir, "pyserver-abc"));
      expect(contentOf(join(stateDir, "pyserver-abc"))).toEqual(files);
    }
    expect(existsSync("/nonexistent")).toBe(false);
  });

  test("gives HuggingFace's libraries a folder there too, unless they are told of one", () => {
    expect(withoutHome({ HOME: "/nonexistent" }, "/srv/state").HF_HOME).toBe("/srv/state/huggingface");
    expect(withoutHome({ HOME: "/nonexistent", HF_HOME: "/models" }, "/srv/state").HF_HOME).toBe("/models");
    expect(withoutHome({ HOME: temporaryFolder() }, "/srv/state").HF_HOME).toBeUndefined();
  });
});

describe("a folder of another version", () => {
  const DAY = 86_400_000;
  const now = 100 * DAY;
  const folder = (path: string, days: number) => ({ path, usedAt: now - days * DAY });

  test("goes when nothing has used it for a month and no process names it; the own one never does", () => {
    const folders = [
      folder("/c/pyserver-own", 90),
      folder("/c/pyserver-a", 31),
      folder("/c/pyserver-b", 29),
      folder("/c/pyserver-c", 90),
    ];
    const commands = ["python\0/c/pyserver-c\0causal\0", "other"];
    expect(unusedFolders(folders, "/c/pyserver-own", commands, now)).toEqual(["/c/pyserver-a"]);
    expect(unusedFolders(folders, "/c/pyserver-own", [], now)).toEqual(["/c/pyserver-a", "/c/pyserver-c"]);
  });

  test.skipIf(process.platform !== "linux")(
    "is removed by a start, but not while a process runs it, and a use makes it young again",
    async () => {
      const env = { XDG_CACHE_HOME: temporaryFolder() };
      const parent = join(env.XDG_CACHE_HOME, "solar-host");
      for (const name of ["old", "running"]) mkdirSync(join(parent, `pyserver-${name}`), { recursive: true });
      const long = new Date(Date.now() - 40 * DAY);
      for (const name of ["old", "running"]) utimesSync(join(parent, `pyserver-${name}`), long, long);
      const process = Bun.spawn(["sh", "-c", "sleep 60; :", join(parent, "pyserver-running")]);
      const dir = await pyserverUnpacker(env, temporaryFolder(), source)();
      expect(readdirSync(parent).sort()).toEqual(["pyserver-abc", "pyserver-running"]);
      process.kill();
      await process.exited;
      utimesSync(dir, long, long);
      await pyserverUnpacker(env, temporaryFolder(), source)();
      expect(readdirSync(parent)).toEqual(["pyserver-abc"]);
      expect(Date.now() - statSync(dir).mtimeMs).toBeLessThan(DAY);
    },
  );
});
