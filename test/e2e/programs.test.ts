import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";

/** The built daemon where the program that it is to run cannot run. */

setDefaultTimeout(60_000);

const executable = (path: string, content: string | Uint8Array): void => {
  writeFileSync(path, content);
  chmodSync(path, 0o755);
};

/** A real program with some of its bytes changed. */
const changed = (path: string, change: (bytes: Buffer) => void): void => {
  const bytes = readFileSync("/bin/true");
  change(bytes);
  executable(path, bytes);
};

const withLoader = (path: string, loader: string): void =>
  changed(path, (bytes) => {
    const at = bytes.indexOf("/lib");
    bytes.write(loader.padEnd(bytes.indexOf(0, at) - at, "x"), at, "latin1");
  });

describe.concurrent("a start", () => {
  const bad: Record<string, [make: (program: string) => void, told: RegExp]> = {
    "is not executable": [(path) => writeFileSync(path, "#!/bin/sh\n"), /is not executable: chmod \+x '/],
    "is a folder": [(path) => mkdirSync(path), /is a folder: name the program in it/],
    "is no program": [
      (path) => executable(path, "\u007fELF but not really"),
      /is neither a program of this system nor/,
    ],
    "is for another processor": [
      (path) => changed(path, (bytes) => bytes.writeUInt16LE(22, 18)),
      /is built for s390, and this machine is /,
    ],
    "is empty": [(path) => executable(path, ""), /is empty/],
    "lost its interpreter": [
      (path) => executable(path, "#!/no/such/bash\n"),
      /is a script for '\/no\/such\/bash', which cannot run: no such file/,
    ],
    "has Windows line ends": [(path) => executable(path, "#!/bin/sh\r\necho\r\n"), /has Windows line ends \(CRLF\)/],
    "is a link to nothing": [(path) => symlinkSync("/no/such/file", path), /is a link to '\/no\/such\/file'/],
    "needs another system's loader": [
      (path) => withLoader(path, "/lib64/xx-l"),
      /needs '\/lib64\/xx-l\S*', which is not/,
    ],
    "calls what is not there": [
      (path) => executable(path, "#!/bin/sh\nexec /no/such/program\n"),
      /exited with code 12[67]/,
    ],
  };
  for (const [name, [make, told]] of Object.entries(bad)) {
    test(`of a program that ${name} says so with the setting to change, at boot too, and is not tried again`, async () => {
      const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
      make(join(dir, "server"));
      // A relative path is the daemon's folder's.
      await using daemon = await TestDaemon.start({ dir, llamaServer: "./server" });
      const { id } = await daemon.createFake();
      const { status, body } = await daemon.start(id);
      expect([status, body.detail]).toEqual([500, expect.stringMatching(told)]);
      expect(body.detail).not.toMatch(/E[A-Z]{4,}:|posix_spawn/);
      expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 1 });
      if (name.startsWith("calls")) return;
      expect(body.detail).toContain("LLAMA_SERVER names it (in .env or the environment, or with serve --llama-server)");
      expect(daemon.stderr).toMatch(told);
      expect(daemon.stderr).toMatch(/LLAMA_SERVER is '\.\/server', but .*; an instance that needs it will not start/);
    });
  }

  test("of a Python that is not there, and of variables that are not passed on, is warned of at boot", async () => {
    await using daemon = await TestDaemon.start({
      env: { PYTHON: "/no/such/python", LLAMA_ARG_LOG_JSONL: "1", LLAMA_LOG_FILE: "x", PYTHONIOENCODING: "latin-1" },
    });
    expect(daemon.stderr).toContain("PYTHON is '/no/such/python', but no such file: '/no/such/python'");
    const withheld = [...daemon.stderr.matchAll(/not passed on to (\S+), .* depends on: (.*)/g)].map(
      ([, ...told]) => told,
    );
    expect(withheld).toEqual([
      ["llama-server", "LLAMA_ARG_LOG_JSONL, LLAMA_LOG_FILE"],
      ["python", "PYTHONIOENCODING"],
    ]);
    expect(daemon.stderr).not.toContain("LLAMA_SERVER is");
  });
});
