import { describe, expect, test } from "bun:test";
import { closeSync, readdirSync, statSync, writeFileSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createLogFile, safeAlias } from "../../src/logs/file-name.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const noon = new Date("2025-11-24T12:00:00.789Z");
const seconds = Math.floor(noon.getTime() / 1000);

describe("an alias as part of a file name", () => {
  test("keeps what is safe and replaces the rest, one for one", () => {
    expect(safeAlias("llama-3:8b")).toBe("llama-3_8b");
    expect(safeAlias("gpt_oss-120b.v2")).toBe("gpt_oss-120b.v2");
    expect(safeAlias("org/model name")).toBe("org_model_name");
    expect(safeAlias("日本語モデル")).toBe("日本語モデル");
  });

  test("never leads out of its folder and never hides", () => {
    for (const alias of ["../../x", "..", ".", "/etc/passwd", "a/../../b", "..\\..\\x", ".hidden", "a\0b", "C:\\x"]) {
      const safe = safeAlias(alias);
      expect([alias, safe]).toEqual([alias, basename(safe)]);
      expect([alias, safe.startsWith("."), /[/\\\0:]/.test(safe), safe === ""]).toEqual([alias, false, false, false]);
    }
  });

  test("is never empty, not even of an alias of which nothing is safe", () => {
    expect(safeAlias("")).toBe("_");
    expect(safeAlias("///")).toBe("___");
    expect(safeAlias("\ud800")).toBe("_");
  });

  test("leaves room for the rest of the name in the 255 bytes that there are, and cuts no character in two", () => {
    for (const alias of ["x".repeat(256), "語".repeat(256), "😀".repeat(256), `${"é".repeat(150)}`]) {
      const safe = safeAlias(alias);
      expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200);
      expect(Buffer.from(safe).toString()).toBe(safe);
    }
  });
});

describe("the log file of a start", () => {
  test("is named after alias and time, and is for its owner alone", () => {
    const dir = join(temporaryFolder(), "made/when/missing");
    const { path, fd } = createLogFile(dir, "llama-3:8b", noon);
    closeSync(fd);
    expect(path).toBe(join(dir, `llama-3_8b_${seconds}.log`));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("is another one for each start in the same second, of whatever instance", () => {
    const dir = temporaryFolder();
    const names = ["a:b", "a/b", "a_b"].map((alias) => {
      const { path, fd } = createLogFile(dir, alias, noon);
      closeSync(fd);
      return basename(path);
    });
    expect(names).toEqual([`a_b_${seconds}.log`, `a_b_${seconds}_1.log`, `a_b_${seconds}_2.log`]);
  });

  test("never takes over a file that is there already", () => {
    const dir = temporaryFolder();
    writeFileSync(join(dir, `a_${seconds}.log`), "somebody's");
    const { path, fd } = createLogFile(dir, "a", noon);
    closeSync(fd);
    expect(basename(path)).toBe(`a_${seconds}_1.log`);
    expect(readdirSync(dir).sort()).toEqual([`a_${seconds}.log`, `a_${seconds}_1.log`]);
  });

  test("stays in its folder for an alias that would lead out, and for the longest alias", () => {
    const dir = temporaryFolder();
    for (const alias of ["../../x", "語".repeat(256)]) {
      const { path, fd } = createLogFile(dir, alias, noon);
      closeSync(fd);
      expect(dirname(path)).toBe(dir);
    }
  });

  test("is appended to, so that two writers do not write over each other", async () => {
    const { path, fd } = createLogFile(temporaryFolder(), "a", noon);
    Bun.spawnSync(["sh", "-c", "echo one; echo two >&2"], { stdout: fd, stderr: fd, stdin: "ignore" });
    writeSync(fd, "three\n");
    closeSync(fd);
    expect(await Bun.file(path).text()).toBe("one\ntwo\nthree\n");
  });
});
