import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCode, inWords, isMissing, refusal, systemProblem } from "../../src/common/system-error.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { root } from "../support/paths.ts";

removeFoldersAfterEach();

const refused = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
};

describe("what the system refuses is told in words", () => {
  const cases: [code: string, work: (dir: string) => unknown, words: (dir: string) => string][] = [
    ["ENOENT", (dir) => readFileSync(join(dir, "gone")), (dir) => `'${dir}/gone' is not there`],
    ["EISDIR", (dir) => writeFileSync(dir, ""), (dir) => `'${dir}' is a folder and no file`],
    [
      "ENOTDIR",
      (dir) => readdirSync(join(dir, "file/x")),
      (dir) => `a part of the path '${dir}/file/x' is a file and no folder`,
    ],
    ["EEXIST", (dir) => symlinkSync("x", join(dir, "file")), (dir) => `'${dir}/file' is there already`],
    ["ENOTEMPTY", (dir) => rmdirSync(dir), (dir) => `the folder '${dir}' is not empty`],
    ["ELOOP", (dir) => readFileSync(join(dir, "circle")), (dir) => `'${dir}/circle' is a link that leads in a circle`],
    [
      "ENAMETOOLONG",
      (dir) => readFileSync(join(dir, "x".repeat(300))),
      (dir) => `'${dir}/${"x".repeat(300)}' is longer than a name may be`,
    ],
    [
      "ENOSPC",
      () => writeFileSync("/dev/full", "x"),
      () => "no space is left on the disk that holds '/dev/full': make room there",
    ],
  ];
  test.each(cases)("%s", (code, work, words) => {
    const dir = temporaryFolder();
    writeFileSync(join(dir, "file"), "");
    symlinkSync("circle", join(dir, "circle"));
    const error = refused(() => work(dir));
    expect(errorCode(error)).toBe(code);
    const path = code === "ENOSPC" ? "/dev/full" : undefined;
    expect(systemProblem(error, path ?? (code === "EEXIST" ? join(dir, "file") : undefined))).toBe(words(dir));
    expect(systemProblem(error, path)).not.toContain(code);
  });

  test("a file where a folder is to be made is told as that", () => {
    const path = join(temporaryFolder(), "file");
    writeFileSync(path, "");
    const error = refused(() => mkdirSync(path, { recursive: true }));
    expect(systemProblem(error)).toBe(`a part of the path '${path}' is a file and no folder`);
  });

  test("with the path that is meant, not that of a temporary file", () => {
    const error = refused(() => readFileSync("/gone/config.json.1.tmp"));
    expect(systemProblem(error, "/gone/config.json")).toBe("'/gone/config.json' is not there");
    expect(systemProblem(error, dirname("/gone/config.json"))).toBe("'/gone' is not there");
  });

  test("a rare code is named, and of another error its message is told", () => {
    const rare = Object.assign(new Error("ENOTTY: inappropriate ioctl"), { code: "ENOTTY" });
    expect(systemProblem(rare, "/dev/x")).toBe("the system refuses '/dev/x' (ENOTTY)");
    expect(systemProblem(rare)).toBe("the system refuses the file (ENOTTY)");
    expect([systemProblem(new Error("it is damaged")), systemProblem("text")]).toEqual(["it is damaged", "text"]);
  });
});

test("an error in words keeps its code and its words, however often it is told", () => {
  const told = inWords(
    refused(() => readFileSync("/gone")),
    "/srv/key",
  );
  expect([isMissing(told), told.message]).toEqual([true, "'/srv/key' is not there"]);
  expect([inWords(told), systemProblem(told), systemProblem(told, "/other")]).toEqual([
    told,
    told.message,
    told.message,
  ]);
  expect(inWords(new Error("it is damaged")).message).toBe("it is damaged");
});

test("a refusal that is told in words of its own keeps them, and its code", () => {
  const told = refusal("llama-server could not be started: too many processes run", "EAGAIN");
  expect([systemProblem(told), errorCode(told), inWords(told)]).toEqual([told.message, "EAGAIN", told]);
});

test("no room of the daemon tells an error in the runtime's words", () => {
  const rooms = ["backends", "logs", "model-server", "process", "runtime", "server", "store", "supervisor", "system"];
  const files = rooms.flatMap((room) => [...new Bun.Glob(`src/${room}/**/*.ts`).scanSync(root)]);
  expect(files.length).toBeGreaterThan(100);
  const runtimeWords = /String\((?:error|cause|reason)\)|\((?:error|cause|reason) as Error\)\.message/;
  expect(files.filter((file) => runtimeWords.test(readFileSync(join(root, file), "utf8")))).toEqual([]);
});
