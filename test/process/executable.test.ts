import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, formatDoubt, spawnProblem } from "../../src/process/executable.ts";
import { formatOf } from "../../src/process/executable-format.ts";

const dir = mkdtempSync(join(tmpdir(), "solar-host-executable-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, content: string | Uint8Array, mode = 0o755): string => {
  const path = join(dir, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};

const problemOf = (program: string, env: Record<string, string> = {}): string | null => {
  const found = findProgram(program, env);
  return "path" in found ? null : found.problem.text;
};

describe("a program that is looked up on PATH", () => {
  const [first, second] = ["first", "second"].map((name) => join(dir, name));
  for (const folder of [first, second]) mkdirSync(String(folder));
  const PATH = `${first}::/no/such/folder:${second}`;

  test("is the first that can run; what cannot is passed over", () => {
    file("first/tool", "#!/bin/sh\n", 0o644);
    file("second/tool", "#!/bin/sh\n");
    expect(findProgram("tool", { PATH })).toEqual({ path: `${second}/tool` });
  });

  test("is told of where it is there and cannot run, and else by the folders that were looked into", () => {
    file("first/closed", "#!/bin/sh\n", 0o644);
    expect(problemOf("closed", { PATH })).toBe(`'${first}/closed' is not executable: chmod +x '${first}/closed'`);
    expect(findProgram("none", { PATH })).toEqual({
      problem: { missing: true, text: `no 'none' in any folder of PATH (${PATH})` },
    });
  });

  test("is never taken from the folder of the daemon by an empty part of PATH", () => {
    expect(findProgram("package.json", { PATH: ":" })).toMatchObject({ problem: { missing: true } });
  });
});

describe("a program that cannot be reached is told of by what is in the way:", () => {
  test("a link to nothing, a link to itself, a name that is too long, a file on the way", () => {
    symlinkSync("/no/such/file", join(dir, "link"));
    symlinkSync(join(dir, "loop"), join(dir, "loop"));
    file("plain", "");
    expect(problemOf(join(dir, "link"))).toBe(`'${dir}/link' is a link to '/no/such/file', which is not there`);
    expect(problemOf(join(dir, "loop"))).toBe(`'${dir}/loop' is a link that leads in a circle`);
    expect(problemOf(`/${"x".repeat(300)}`)).toEndWith("is longer than a name may be");
    expect(problemOf(join(dir, "plain/program"))).toBe(`no such file: '${dir}/plain/program'`);
    expect(problemOf("")).toStartWith("no '' in any folder of PATH");
  });

  // Root may enter every folder, so it looks as another user.
  test("a folder that the user may not enter, and a program that is another's", () => {
    mkdirSync(join(dir, "shut/inner"), { recursive: true });
    file("shut/inner/program", "#!/bin/sh\n");
    chmodSync(join(dir, "shut"), 0o600);
    file("others", "#!/bin/sh\n", 0o700);
    chmodSync(dir, 0o755);
    const look = `
      process.setgid?.(65534); process.setuid?.(65534);
      for (const path of process.argv.slice(1)) console.log(JSON.stringify(findProgram(path, { PATH: ${JSON.stringify(`${dir}/shut/inner`)} })));`;
    const module = join(import.meta.dir, "../../src/process/executable.ts");
    const isRoot = process.getuid?.() === 0;
    const script = `import { findProgram } from ${JSON.stringify(module)};${isRoot ? look : look.split("\n").slice(2).join("\n")}`;
    const { stdout } = Bun.spawnSync([
      process.execPath,
      "-e",
      script,
      join(dir, "shut/inner/program"),
      join(dir, "others"),
      "tool",
    ]);
    const [shut, others, unseen] = stdout
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).problem?.text);
    expect(shut).toEndWith(`the folder '${dir}/shut' may not be entered by the daemon's user`);
    // What is in a folder of PATH that may not be entered is not known, so that it is not said to be there.
    expect(unseen).toBe(
      `no 'tool' in any folder of PATH (${dir}/shut/inner) that the daemon's user may enter, which is not '${dir}/shut'`,
    );
    if (isRoot)
      expect(others).toStartWith(
        `'${dir}/others' may not be run by the daemon's user: look at its owner and mode (700)`,
      );
  });
});

describe("a script", () => {
  test("needs its interpreter, and what env is to find", () => {
    expect(problemOf(file("lost", "#! /no/such/bash -e\n"))).toBe(
      `'${dir}/lost' is a script for '/no/such/bash', which cannot run: no such file: '/no/such/bash'`,
    );
    expect(problemOf(file("env", "#!/usr/bin/env python9\n"), { PATH: "/bin" })).toBe(
      `'${dir}/env' is a script for 'python9', which cannot run: no 'python9' in any folder of PATH (/bin)`,
    );
    for (const line of ["/bin/sh", "/bin/sh -e", "/usr/bin/env sh", "/usr/bin/env -S sh -e", "/usr/bin/env A=1 sh"]) {
      expect([line, problemOf(file("script", `#!${line}\necho`), { PATH: "/bin" })]).toEqual([line, null]);
    }
  });

  test("with Windows line ends is told of, whatever its first line is", () => {
    for (const line of ["/bin/sh", "/bin/sh -e", "/usr/bin/env python3"]) {
      expect(problemOf(file("windows", `#!${line}\r\necho\r\n`))).toContain("has Windows line ends (CRLF)");
    }
  });

  test("that runs itself ends the search", () => {
    const path = join(dir, "itself");
    expect(problemOf(file("itself", `#!${path}\n`))).not.toBeNull();
  });
});

describe("what the system does not start", () => {
  test.skipIf(process.platform !== "linux")("is told of by its format", () => {
    const real = readFileSync("/bin/sh");
    const other = Buffer.from(real);
    other.writeUInt16LE(22, 18);
    expect(formatOf(real)).toMatchObject({ type: "elf", loader: expect.stringContaining("/ld") });
    expect(formatDoubt(file("real", real))).toBeNull();
    expect(formatDoubt(file("other", other))).toContain("is built for s390, and this machine is ");
    expect(formatDoubt(file("short", real.subarray(0, 40)))).toContain(
      "is neither a program of this system nor a script",
    );
    expect(formatDoubt(file("none", ""))).toBe(`'${dir}/none' is empty`);
    expect(formatDoubt(file("text", "echo hello\n"))).toContain("nor a script that begins with '#!'");
    expect(formatDoubt("/no/such/file")).toBeNull();
  });

  test("is tried again where the system had no room for it, and only then", () => {
    const lasting = (code: string) => spawnProblem("/bin/sh", code)?.lasting;
    expect(["ENOEXEC", "ENOENT", "EACCES", "EPERM", "E2BIG"].map(lasting)).toEqual(Array(5).fill(true));
    expect(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "ETXTBSY", "EIO"].map(lasting)).toEqual(Array(6).fill(false));
    expect(spawnProblem("/bin/sh", undefined)).toBeNull();
    expect(spawnProblem("/bin/sh", "EMFILE")?.text).toContain("too many files are open");
    expect(spawnProblem("/bin/sh", "ENOEXEC")?.text).toContain("may be damaged");
  });
});
