import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byCommand, type Flock, openFlock, takeFileLock } from "../../src/process/lock.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { requireBinary } from "../support/paths.ts";

/** The lock of a folder, however the system gives it; and what is said where it gives none. */

removeFoldersAfterEach();

const ways: [string, Flock][] = [
  ["the C library", openFlock()],
  ["the command, where the library cannot be called", openFlock(() => null)],
];

describe.each(ways)("by %s a lock", (_, flock) => {
  test("is taken, held against others, and free when the file is closed", () => {
    const path = join(temporaryFolder(), "lock");
    writeFileSync(path, "");
    const first = openSync(path, "r+");
    const second = openSync(path, "r+");
    expect([flock(first), flock(second)]).toEqual(["taken", "held"]);
    closeSync(first);
    expect(flock(second)).toBe("taken");
    closeSync(second);
  });

  test("that cannot be taken says why, and is not held by another", () => {
    // A descriptor that is not open.
    expect(flock(9999)).toEqual({ problem: expect.any(String) });
  });
});

test("where there is neither, it says what is missing and what to install", () => {
  expect(byCommand("/no/such/flock")(0)).toEqual({ problem: expect.stringContaining("install util-linux") });
  const path = join(temporaryFolder(), "lock");
  takeFileLock(path, "pid 1");
  expect(readFileSync(path, "utf8")).toBe("pid 1");
});

/** PR_SET_MDWE of linux/prctl.h, as systemd sets it for MemoryDenyWriteExecute. */
const withoutExecutableMemory = [
  "python3",
  "-c",
  "import ctypes, os, sys\nif ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)\nos.execv(sys.argv[1], sys.argv[1:])",
];
const canDeny = Bun.spawnSync([...withoutExecutableMemory, "/bin/true"]).exitCode === 0;

describe.skipIf(process.platform !== "linux" || !canDeny)("without executable memory", () => {
  test("a daemon serves, and keeps a second one out with the name of the first", async () => {
    await using daemon = await TestDaemon.start({ under: withoutExecutableMemory });
    expect((await daemon.request("GET", "/instances")).status).toBe(200);
    const second = Bun.spawn([...withoutExecutableMemory, requireBinary(), "serve"], {
      cwd: daemon.dir,
      env: { PATH: process.env.PATH ?? "", HOME: daemon.dir, API_KEY: KEY, HOST: "127.0.0.1", PORT: "0" },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    expect(await second.stderr.text()).toContain(`another solar-host (pid ${daemon.process.pid}) already serves`);
    expect(await second.exited).toBe(1);
  });
});
