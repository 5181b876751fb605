import { describe, expect, test } from "bun:test";
import { isImpatient } from "../../src/server/end-signals.ts";

describe("a signal behind the first that asks for the end", () => {
  test.each([
    ["is the same request where `timeout` signals the child and its group", "SIGTERM", "SIGTERM", 1, false],
    ["is the same request on a machine that is slow to deliver it", "SIGTERM", "SIGTERM", 900, false],
    ["is the same request where systemd sends SIGHUP too", "SIGTERM", "SIGHUP", 1, false],
    ["is the same request where a runner passes on what the terminal has sent", "SIGINT", "SIGINT", 20, false],
    ["is the same request where a runner makes SIGTERM of Ctrl-C", "SIGINT", "SIGTERM", 500, false],
    ["is impatience where a person presses Ctrl-C twice as fast as people can", "SIGINT", "SIGINT", 120, true],
    ["is impatience where it comes later", "SIGTERM", "SIGTERM", 1100, true],
    ["is impatience where Ctrl-C follows on a service manager's request", "SIGTERM", "SIGINT", 500, true],
  ] as const)("%s", (_, first, second, afterMs, expected) => {
    const at = 5000;
    expect(isImpatient({ signal: first, at }, { signal: second, at: at + afterMs })).toBe(expected);
  });
});
