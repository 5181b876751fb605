import { describe, expect, test } from "bun:test";
import { appendFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type IndexEntry, TimeIndex } from "../../src/logs/time-index.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const entries: IndexEntry[] = [
  { seq: 10, offset: 100, time: 1_000 },
  { seq: 12, offset: 150, time: 1_000 },
  { seq: 12, offset: 150, time: 1_001 },
  { seq: 1_000_000, offset: 20_000_000_000, time: 1_764_000_000_123 },
];

const filled = (path: string): TimeIndex => {
  const index = TimeIndex.open(path);
  for (const entry of entries) index.append(entry);
  return index;
};

describe("the index of a log file", () => {
  test("remembers each entry, large offsets too, when it is opened again", () => {
    const path = join(temporaryFolder(), "deep/a.log.idx");
    filled(path).close();
    const again = TimeIndex.open(path);
    expect(again.last).toEqual(entries[3] ?? null);
    expect(again.after(-1, 100)).toEqual(entries);
    again.append({ seq: 1_000_001, offset: 20_000_000_001, time: 1_764_000_000_124 });
    expect(again.after(1_000_000, 100)).toEqual([{ seq: 1_000_001, offset: 20_000_000_001, time: 1_764_000_000_124 }]);
    again.close();
  });

  test("drops a record that a crash cut off, and goes on behind the last whole one", () => {
    const path = join(temporaryFolder(), "a.log.idx");
    for (const torn of [1, 8, 23]) {
      writeFileSync(path, "");
      filled(path).close();
      appendFileSync(path, Buffer.alloc(torn, 0x41));
      const again = TimeIndex.open(path);
      expect([torn, again.last]).toEqual([torn, entries[3] ?? null]);
      const next = { seq: 1_000_002, offset: 20_000_000_100, time: 1_764_000_000_200 };
      again.append(next);
      again.close();
      expect(statSync(path).size).toBe(5 * 24);
      const third = TimeIndex.open(path);
      expect([torn, third.last]).toEqual([torn, next]);
      third.close();
    }
  });

  test("that is nothing but a torn record is empty", () => {
    const path = join(temporaryFolder(), "a.log.idx");
    writeFileSync(path, "half a record");
    const index = TimeIndex.open(path);
    expect([index.last, index.before(5), index.after(0, 10)]).toEqual([null, null, []]);
    index.close();
  });

  test("finds the entry from which a line, or a byte, is reached", () => {
    const index = filled(join(temporaryFolder(), "a.log.idx"));
    expect([9, 10, 11, 12, 999_999, 1_000_000, 2_000_000].map((seq) => index.before(seq)?.offset ?? null)).toEqual([
      null,
      100,
      100,
      150,
      150,
      20_000_000_000,
      20_000_000_000,
    ]);
    expect([99, 100, 149, 150, 30_000_000_000].map((offset) => index.beforeOffset(offset)?.seq ?? null)).toEqual([
      null,
      10,
      10,
      12,
      1_000_000,
    ]);
    index.close();
  });

  test("gives later entries in order, as many as wanted", () => {
    const index = filled(join(temporaryFolder(), "a.log.idx"));
    expect(index.after(10, 2)).toEqual(entries.slice(1, 3));
    expect(index.after(12, 100)).toEqual(entries.slice(3));
    expect(index.after(1_000_000, 100)).toEqual([]);
    index.close();
  });

  test("tells how many of its own bytes are for lines before a number", () => {
    const index = filled(join(temporaryFolder(), "a.log.idx"));
    expect([0, 10, 11, 12, 13].map((seq) => index.bytesBefore(seq))).toEqual([0, 0, 24, 24, 72]);
    index.close();
  });

  test("that is not there is none for a reader, and none is made", () => {
    const path = join(temporaryFolder(), "a.log.idx");
    expect(TimeIndex.openExisting(path)).toBeNull();
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });
});
