import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { backupPath, removeRests, replaceFile, replaceFileSync } from "../../src/store/atomic-file.ts";
import { requireStrace } from "../support/crash.ts";
import { canMount, isRoot, removeFoldersAfterEach, temporaryFolder, tinyDisk } from "../support/folder.ts";

setDefaultTimeout(60_000);

removeFoldersAfterEach();

/** A folder in which this user can make no file: read-only for all, and for root a file system that is. */
const readOnlyFolder = (fill: (dir: string) => void): string => {
  const dir = isRoot ? tinyDisk() : temporaryFolder();
  fill(dir);
  if (!isRoot) chmodSync(dir, 0o500);
  else if (Bun.spawnSync(["mount", "-o", "remount,ro", dir]).exitCode !== 0) throw new Error(`cannot remount ${dir}`);
  return dir;
};

describe("replacing a file", () => {
  test("writes it whole, with its permissions, and a copy of it beside", async () => {
    const path = join(temporaryFolder(), "config.json");
    await replaceFile(path, "one", 0o600);
    for (const text of ["one", "two", "three"]) {
      if (text !== "one") await replaceFile(path, text, 0o600);
      for (const name of [path, backupPath(path)]) {
        expect(readFileSync(name, "utf8")).toBe(text);
        expect(statSync(name).mode & 0o777).toBe(0o600);
      }
    }
    expect(readdirSync(join(path, "..")).sort()).toEqual(["config.json", "config.json.bak"]);
  });

  test("keeps the copy apart: an editor that breaks the file does not break that", async () => {
    const path = join(temporaryFolder(), "config.json");
    await replaceFile(path, "good", 0o600);
    writeFileSync(path, "broken");
    expect(readFileSync(backupPath(path), "utf8")).toBe("good");
  });

  test("whose copy cannot be put in place fails and leaves the old file", async () => {
    const path = join(temporaryFolder(), "config.json");
    writeFileSync(path, "good");
    mkdirSync(backupPath(path));
    await expect(replaceFile(path, "new", 0o600)).rejects.toThrow(backupPath(path));
    expect(readFileSync(path, "utf8")).toBe("good");
    expect(readdirSync(join(path, "..")).sort()).toEqual(["config.json", "config.json.bak"]);
  });

  test("refuses what is no file, a link to it too: a device would be a file from then on, for the whole machine", async () => {
    const dir = temporaryFolder();
    const [pipe, link] = [join(dir, "pipe"), join(dir, "config.json")];
    Bun.spawnSync(["mkfifo", pipe]);
    symlinkSync(pipe, link);
    const why = `'${pipe}' is a named pipe (FIFO) and no file`;
    await expect(replaceFile(link, "new", 0o600)).rejects.toThrow(why);
    expect(() => replaceFileSync(link, "new", false)).toThrow(why);
    expect(readdirSync(dir).sort()).toEqual(["config.json", "pipe"]);
    expect(statSync(pipe).isFIFO()).toBe(true);
  });

  test("closes a file that others could read", async () => {
    const path = join(temporaryFolder(), "config.json");
    writeFileSync(path, "open to all", { mode: 0o644 });
    await replaceFile(path, "closed", 0o600);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("is never seen half done: a reader meanwhile has the old one or the new one", async () => {
    const path = join(temporaryFolder(), "config.json");
    const texts = ["a", "b"].map((letter) => letter.repeat(2_000_000));
    await replaceFile(path, texts[0] ?? "", 0o600);
    let writing = true;
    const writer = (async () => {
      for (let n = 1; n <= 12; n++) await replaceFile(path, texts[n % 2] ?? "", 0o600);
      writing = false;
    })();
    let seen = 0;
    while (writing) {
      const text = readFileSync(path, "utf8");
      expect(texts.includes(text)).toBe(true);
      seen += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer;
    expect(seen).toBeGreaterThan(10);
  });

  test.skipIf(!canMount())("on a full disk fails, says so, and leaves the old file and no rest", async () => {
    const dir = tinyDisk();
    const path = join(dir, "config.json");
    await replaceFile(path, "good", 0o600);
    writeFileSync(join(dir, "filler"), Buffer.alloc(40 * 1024));
    await expect(replaceFile(path, "x".repeat(60 * 1024), 0o600)).rejects.toThrow(
      `no space is left on the disk that holds '${path}'`,
    );
    expect(() => replaceFileSync(path, "x".repeat(60 * 1024), true)).toThrow();
    expect(readFileSync(path, "utf8")).toBe("good");
    expect(readdirSync(dir).sort()).toEqual(["config.json", "config.json.bak", "filler"]);
  });

  test.skipIf(isRoot && !canMount())("in a folder that cannot be written fails and leaves the old file", async () => {
    const dir = readOnlyFolder((dir) => writeFileSync(join(dir, "config.json"), "good"));
    const path = join(dir, "config.json");
    await expect(replaceFile(path, "new", 0o600)).rejects.toThrow();
    expect(() => replaceFileSync(path, "new", true)).toThrow();
    expect(readFileSync(path, "utf8")).toBe("good");
  });

  test("fails in a folder that is not there, and makes none", async () => {
    const path = join(temporaryFolder(), "gone/config.json");
    await expect(replaceFile(path, "new", 0o600)).rejects.toThrow(`'${dirname(path)}' is not there`);
  });
});

describe("a folder that cannot be made durable", () => {
  /** strace makes fsync of the folder fail; of the file itself it works. */
  const replaceWithFailingFolder = async (path: string, text: string): Promise<string> => {
    const code = `import { replaceFile } from ${JSON.stringify(join(import.meta.dir, "../../src/store/atomic-file.ts"))};
      await replaceFile(${JSON.stringify(path)}, ${JSON.stringify(text)}, 0o600)
        .catch((error) => console.log(error.code));`;
    const program = [process.execPath, "--no-env-file", "-e", code];
    const inject = ["-f", "-qq", "-o", "/dev/null", "-P", join(path, ".."), "-e", "inject=fsync:error=EIO"];
    const run = Bun.spawnSync([requireStrace(), ...inject, ...program], { stderr: "pipe" });
    if (run.exitCode !== 0) throw new Error(run.stderr.toString());
    return run.stdout.toString().trim();
  };

  test.skipIf(process.platform !== "linux")("leaves the old file there, not the one that was refused", async () => {
    const path = join(temporaryFolder(), "config.json");
    await replaceFile(path, "old", 0o600);
    expect(await replaceWithFailingFolder(path, "new")).toBe("EIO");
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readFileSync(backupPath(path), "utf8")).toBe("old");
    expect(readdirSync(join(path, "..")).sort()).toEqual(["config.json", "config.json.bak"]);
  });

  test.skipIf(process.platform !== "linux")("leaves no file where there was none", async () => {
    const path = join(temporaryFolder(), "config.json");
    expect(await replaceWithFailingFolder(path, "new")).toBe("EIO");
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });
});

describe("what was left in the middle", () => {
  test("is removed, and nothing else", () => {
    const dir = temporaryFolder();
    const left = ["", ".old", ".bak", ".bak.old"].map((rest) => `config.json.123.tmp${rest}`);
    const others = ["config.json", "config.json.bak", "config.json.tmp", "other.json.12.tmp", "config.json.x.tmp"];
    for (const name of [...left, ...others]) writeFileSync(join(dir, name), "");
    removeRests(join(dir, "config.json"));
    expect(readdirSync(dir).sort()).toEqual(others.sort());
  });
});

describe("replacing a small record at once", () => {
  test("makes its folder, replaces the old one and keeps no backup", () => {
    const path = join(temporaryFolder(), "made/record.json");
    replaceFileSync(path, "one", false);
    replaceFileSync(path, "two", true);
    expect(readFileSync(path, "utf8")).toBe("two");
    expect(readdirSync(join(path, ".."))).toEqual(["record.json"]);
  });
});

describe("a file that is a link to another place", () => {
  test("stays a link, and the file that it names is replaced", async () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "elsewhere"));
    writeFileSync(join(dir, "elsewhere/config.json"), "old");
    symlinkSync(join(dir, "elsewhere/config.json"), join(dir, "config.json"));
    await replaceFile(join(dir, "config.json"), "new", 0o600);
    expect(readFileSync(join(dir, "elsewhere/config.json"), "utf8")).toBe("new");
  });

  test("stays one where nothing is at that place yet", async () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "elsewhere"));
    symlinkSync("elsewhere/config.json", join(dir, "config.json"));
    await replaceFile(join(dir, "config.json"), "new", 0o600);
    expect(readFileSync(join(dir, "elsewhere/config.json"), "utf8")).toBe("new");
    expect(lstatSync(join(dir, "config.json")).isSymbolicLink()).toBe(true);
  });
});
