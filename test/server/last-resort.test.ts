import { expect, test } from "bun:test";
import { join } from "node:path";
import { root } from "../support/paths.ts";

const fixture = join(root, "test/fixtures/throw-in-a-timer.ts");

test.each([
  ["timer", "in a timer", "free"],
  ["promise", "in a promise", "free"],
  ["listener", "in a listener", "free"],
  ["timer", "in a timer", "stuck"],
])("a fault in a %s ends the daemon as an upgrade would: told, models let go of, exit 70", (where, message, how) => {
  const { exitCode, stdout } = Bun.spawnSync([process.execPath, fixture, where, how]);
  const told = stdout.toString();
  expect([exitCode, told]).toEqual([70, expect.stringContaining(`unexpected error: ${message}`)]);
  expect(told).toContain("let go: true");
  expect(told).toContain("the next daemon takes them over");
});
