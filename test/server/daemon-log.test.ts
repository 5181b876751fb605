import { describe, expect, test } from "bun:test";
import { createDaemonLog, isJournalStream } from "../../src/server/daemon-log.ts";
import { levelOf } from "../../src/supervisor/status-transitions.ts";

const lines = (options: { format: "human" | "json"; underJournal?: boolean }): string[] => {
  const written: string[] = [];
  const journal = createDaemonLog({
    level: "debug",
    color: false,
    ...options,
    write: (text) => void written.push(text),
  });
  for (const level of ["debug", "info", "warn", "error"] as const) journal[level]("said");
  return written;
};

test("a line for people has date, time and zone", () => {
  for (const line of lines({ format: "human" }))
    expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \w+ +said\n$/);
});

describe("under systemd's journal", () => {
  test("a line begins with its priority, and elsewhere it does not", () => {
    const begins = lines({ format: "human", underJournal: true }).map((line) => line.slice(0, 3));
    expect(begins).toEqual(["<7>", "<6>", "<4>", "<3>"]);
    for (const line of lines({ format: "human" })) expect(line).not.toStartWith("<");
  });

  test("is a stream that has the device and inode which systemd names, and no other", () => {
    expect(isJournalStream({ dev: 8, ino: 99 }, { JOURNAL_STREAM: "8:99" })).toBe(true);
    for (const JOURNAL_STREAM of ["8:9", "9:99", "", undefined]) {
      expect(isJournalStream({ dev: 8, ino: 99 }, { JOURNAL_STREAM })).toBe(false);
    }
  });
});

test("a crash is a warning, giving up is an error, and what was asked for is neither", () => {
  expect([levelOf("crash"), levelOf("fail"), levelOf("start"), levelOf("stop"), levelOf(null)]).toEqual([
    "warn",
    "error",
    "info",
    "info",
    "info",
  ]);
});
