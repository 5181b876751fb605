import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChecks, longTests } from "../scripts/test-checks.ts";
import { run } from "../scripts/test-process.ts";
import { parseJunit } from "../scripts/test-report.ts";
import { root } from "./support/paths.ts";
import { isAlive } from "./support/processes.ts";
import { until } from "./support/until.ts";

/** scripts/test: what it counts, what it chooses, and that no test can end it. */

/** Installing, building and running: on half a core, beside other work. */
const LONG_MS = 10 * 60_000;

describe("a report", () => {
  test("of bun's is counted test by test, with the names of those that failed", () => {
    const xml = `<testsuites name="bun test" tests="4" failures="1" skipped="1">
      <testsuite name="test/a.test.ts" file="test/a.test.ts" tests="4">
        <testcase name="passes" classname="" time="0.1" file="test/a.test.ts" line="1" assertions="1" />
        <testsuite name="inner"><testcase name="&lt;a&gt; &amp; &quot;b&quot;" classname="inner" file="test/a.test.ts">
          <failure type="AssertionError" />
        </testcase></testsuite>
        <testcase name="later" classname="" file="test/a.test.ts"><skipped /></testcase>
        <testcase name="passes too" classname="" file="test/a.test.ts"/>
      </testsuite></testsuites>`;
    expect(parseJunit(xml)).toEqual({
      passed: 2,
      failed: 1,
      skipped: 1,
      failures: ['test/a.test.ts > inner > <a> & "b"'],
    });
  });

  test("of pytest's is counted too: an error while setting up is a failure", () => {
    const xml = `<testsuites><testsuite name="pytest" errors="1" failures="1" tests="3">
      <testcase classname="test.pyserver.test_text" name="test_ok" time="0.01" />
      <testcase classname="test.pyserver.test_text" name="test_bad"><failure message="assert 1 == 2">def x: &#10;</failure></testcase>
      <testcase classname="test.pyserver.test_text" name="test_broken"><error message="no fixture">…</error></testcase>
    </testsuite></testsuites>`;
    expect(parseJunit(xml)).toMatchObject({ passed: 1, failed: 2, skipped: 0 });
  });
});

describe("patterns", () => {
  const names = (...patterns: string[]): string[] => findChecks(patterns).map(({ name }) => name);

  test("are none for everything", () => {
    expect(names()).toEqual(["types", "lint", "shell", "ruff", "mypy", "pytest", "pytest-newest", "bun"]);
  });

  test("name checks, or parts of the paths of test files", () => {
    expect(names("types", "lint")).toEqual(["types", "lint"]);
    expect(names("e2e/docs")).toEqual(["bun"]);
    expect(names("test_sampling")).toEqual(["pytest"]);
    expect(names("no such thing")).toEqual([]);
  });
});

test("soak is the tests that have a long form, and nothing else", () => {
  const files = longTests();
  expect(files).toContain("test/e2e/chaos.test.ts");
  expect(files).not.toContain("test/rooms.test.ts");
  for (const file of files) expect(readFileSync(join(root, file), "utf8")).toMatch(/process\.env\.SOLAR_TEST_LONG/);
});

describe("a command", () => {
  test("gives its exit code", async () => {
    expect(await run(["bash", "-c", "exit 3"], root, LONG_MS)).toBe(3);
  });

  test("that kills its whole process group fails, and we go on", async () => {
    expect(await run(["bash", "-c", "kill -KILL 0; sleep 60"], root, LONG_MS)).not.toBe(0);
  });

  test("that hangs is ended with all that it started", async () => {
    const folder = mkdtempSync(join(tmpdir(), "solar-host-hang-"));
    const pidFile = join(folder, "pid");
    try {
      const child = `echo \\$\\$ > '${pidFile}'; while sleep 0.05; do :; done`;
      const ended = run(["bash", "-c", `bash -c "${child}" & wait`], root, 5000);
      const pid = await until("what it starts", () => Number(readFileSync(pidFile, "utf8").trim()) || null);
      expect(await ended).not.toBe(0);
      await until("that to be gone too", () => !isAlive(pid));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

test(
  "its last line says how many passed and failed, and its exit code whether any did",
  async () => {
    const child = Bun.spawn([join(root, "scripts/test"), "test/rooms.test.ts"], { stdout: "pipe", stderr: "ignore" });
    const output = await new Response(child.stdout).text();
    expect(output.trimEnd().split("\n").at(-1)).toMatch(/^\d+ passed, 0 failed$/);
    expect(await child.exited).toBe(0);
  },
  LONG_MS,
);

test(
  "Ctrl-C ends it with what it runs",
  async () => {
    const child = Bun.spawn([join(root, "scripts/test"), "types"], { stdout: "pipe", stderr: "ignore" });
    const reader = child.stdout.getReader();
    let output = "";
    while (!output.includes("types: tsc")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`it ended before the check ran: ${output}`);
      output += new TextDecoder().decode(value);
    }
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  },
  LONG_MS,
);
