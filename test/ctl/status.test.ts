import { expect, test } from "bun:test";
import { listedInstance } from "../../src/contract/instance-facts.ts";
import { crashText, notRunning, reasonOf } from "../../src/ctl/status.ts";
import { listed } from "./listed.ts";

/** What is shown of an instance that runs again after a crash. */

const NOW = Date.parse("2026-01-01T00:00:10Z");
const failure = { reason: "exit code 3\nmore", at: "2026-01-01T00:00:06Z", exit_code: 3 };

test("an instance that came back from crashes tells how many, when the last one was and why", () => {
  const instance = listedInstance.parse({ ...listed("a", "x"), restarts: 4, failure });
  expect(crashText(instance, NOW)).toBe("crashed 4 times, last 4s ago: exit code 3");
  expect(reasonOf(instance, NOW)).toContain("crashed 4 times");
  expect(reasonOf({ ...instance, error_message: "it waits" }, NOW)).toBe("it waits");
});

test("one that loads again after crashes says so where it is asked for as running", () => {
  const instance = listedInstance.parse({ ...listed("a", "x"), status: "starting", restarts: 4, failure });
  expect(notRunning(instance, "x").message).toMatch(/^x is starting: crashed 4 times, last .* ago: exit code 3$/);
});

test("a daemon that tells of no crashes, or in a form of its own, is read as one without", () => {
  for (const facts of [{}, { restarts: null, failure: null }, { restarts: "many", failure: { at: 1 } }]) {
    const instance = listedInstance.parse({ ...listed("a", "x"), ...facts });
    expect(crashText(instance, NOW)).toBeNull();
  }
});
