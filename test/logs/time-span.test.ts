import { describe, expect, test } from "bun:test";
import { appendFileSync, closeSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { type LogSpan, readPage } from "../../src/logs/cursor.ts";
import type { StoredSegment } from "../../src/logs/file-place.ts";
import { InstanceLog } from "../../src/logs/instance-log.ts";
import { indexPath } from "../../src/logs/segment.ts";
import { punchHead } from "../../src/process/punch.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** Lines of a time, found by the index: over files, in memory and behind it, with the other bounds. */

removeFoldersAfterEach();

const BASE = Date.UTC(2040, 0, 1);
const at = (second: number): number => BASE + second * 1000;

/** Ten batches of three lines, batch n read at second n: five in each of two files. */
const makeLog = async (dir: string) => {
  let saved: readonly StoredSegment[] = [];
  const settings = {
    dir: join(dir, "logs"),
    home: dir,
    indexDir: join(dir, "index"),
    bufferSize: 4,
    maxBytes: 1024 * 1024,
    keepFiles: 10,
    freeHead: punchHead,
  };
  const create = (): InstanceLog =>
    new InstanceLog(saved, settings, {
      saveSegments: (segments) => {
        saved = structuredClone(segments);
      },
      warn: () => undefined,
    });
  let log = create();
  let path = "";
  for (let batch = 0; batch < 10; batch++) {
    if (batch % 5 === 0) {
      const file = await log.begin("a");
      closeSync(file.fd);
      path = file.path;
    }
    log.close();
    appendFileSync(path, [0, 1, 2].map((n) => `${batch}.${n}\n`).join(""));
    utimesSync(path, at(batch) / 1000, at(batch) / 1000);
    // What was written while no daemon was there has the file's own time.
    log = create();
    await log.open();
  }
  return { log, indexOf: (n: number) => indexPath(settings.indexDir, saved[n]?.file ?? "") };
};

const all = Array.from({ length: 10 }, (_, batch) => [0, 1, 2].map((n) => `${batch}.${n}`)).flat();

describe("the lines of a time", () => {
  test("are those that were read then or later, and before its end, together with after, tail and limit", async () => {
    const { log } = await makeLog(temporaryFolder());
    const lines = (span: Partial<LogSpan>, limit = 100): string[] =>
      readPage(log, { after: null, tail: null, ...span }, limit).map(({ line }) => line);
    expect(lines({ since: at(-5) })).toEqual(all);
    expect(lines({ since: at(3) })).toEqual(all.slice(9));
    expect(lines({ since: at(3) + 1 })).toEqual(all.slice(12));
    expect(lines({ since: at(9) })).toEqual(all.slice(27));
    expect(lines({ since: at(9) + 1 })).toEqual([]);
    expect(lines({ until: at(3) })).toEqual(all.slice(0, 9));
    expect(lines({ until: at(3) + 1 })).toEqual(all.slice(0, 12));
    expect(lines({ until: at(-5) })).toEqual([]);
    expect(lines({ until: at(100) })).toEqual(all);
    expect(lines({ since: at(4), until: at(7) })).toEqual(all.slice(12, 21));
    expect(lines({ since: at(7), until: at(4) })).toEqual([]);
    expect(lines({ since: at(4), until: at(7), tail: 2 })).toEqual(all.slice(19, 21));
    expect(lines({ since: at(4), until: at(7), after: 14 })).toEqual(all.slice(15, 21));
    expect(lines({ since: at(4), until: at(7), after: 2 }, 4)).toEqual(all.slice(12, 16));
    expect(lines({ since: at(4), tail: 0 })).toEqual([]);
    for (const { seq, timestamp, line } of readPage(log, { after: -1, tail: null }, 100)) {
      expect([line, timestamp]).toEqual([all[seq] ?? "", new Date(at(Math.floor(seq / 3))).toISOString()]);
    }
    log.close();
  });

  test("are found though the index of a file is gone: its lines have the time of its start", async () => {
    const { log, indexOf } = await makeLog(temporaryFolder());
    rmSync(indexOf(0));
    // Both files were made today, which is before all those times.
    expect(readPage(log, { after: null, tail: null, since: at(-5) }, 100).map(({ line }) => line)).toEqual(
      all.slice(15),
    );
    expect(readPage(log, { after: null, tail: null, since: 0 }, 100).map(({ line }) => line)).toEqual(all);
    log.close();
  });
});
