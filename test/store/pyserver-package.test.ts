import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pyserverUnpacker } from "../../src/store/pyserver-package.ts";
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
  test("is unpacked once, whoever asks at the same time: several starts of one daemon, several daemons", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const daemons = Array.from({ length: 6 }, () => pyserverUnpacker(env, source));
    const dirs = await Promise.all(daemons.flatMap((unpack) => [unpack(), unpack()]));
    expect(new Set(dirs)).toEqual(new Set([join(env.XDG_CACHE_HOME, "solar-host/pyserver-abc")]));
    expect(contentOf(dirs[0] ?? "")).toEqual(files);
  });

  test("is whole for each that was told of it, though others are still at it", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const daemons = Array.from({ length: 6 }, () => pyserverUnpacker(env, source));
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
    const dir = await pyserverUnpacker(env, source)();
    const before = inodesOf(dir);
    chmodSync(dir, 0o555);
    expect(await pyserverUnpacker(env, source)()).toBe(dir);
    expect(inodesOf(dir)).toEqual(before);
    chmodSync(dir, 0o755);
  });

  test("that is damaged is mended file by file: one that lacks, one that is cut, one that another daemon left half", async () => {
    const env = { XDG_CACHE_HOME: temporaryFolder() };
    const unpack = pyserverUnpacker(env, source);
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
    const unpack = pyserverUnpacker(env, source);
    await expect(unpack()).rejects.toThrow();
    rmSync(env.XDG_CACHE_HOME);
    expect(contentOf(await unpack())).toEqual(files);
  });
});
