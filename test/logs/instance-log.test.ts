import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { firstSeqFor, LogCursor, readPage } from "../../src/logs/cursor.ts";
import { FileFollower } from "../../src/logs/follower.ts";
import { InstanceLog, type LogSettings } from "../../src/logs/instance-log.ts";
import { pruneLogs } from "../../src/logs/leftover.ts";
import type { LogEntry } from "../../src/logs/ring.ts";
import { indexPath, type SegmentRecord } from "../../src/logs/segment.ts";
import { LogUnreadableError } from "../../src/logs/unreadable.ts";
import { punchHead } from "../../src/process/punch.ts";
import { canMount, removeFoldersAfterEach, temporaryFolder, tinyDisk } from "../support/folder.ts";
import { below, seeded } from "../support/random.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

removeFoldersAfterEach();

const opened: Bench[] = [];
afterEach(() => {
  for (const bench of opened.splice(0)) bench.end();
});

/** One instance's log, its record kept as the daemon keeps it, and a writer in the place of the model server. */
class Bench {
  saved: readonly SegmentRecord[] = [];
  cannotSave = false;
  readonly warnings: string[] = [];
  readonly settings: LogSettings;
  log: InstanceLog;
  private fd: number | null = null;
  file = "";

  constructor(settings: Partial<LogSettings> = {}, dir = temporaryFolder()) {
    this.settings = {
      dir: join(dir, "logs"),
      home: dir,
      indexDir: join(dir, "index"),
      bufferSize: 10,
      maxBytes: 1024 * 1024,
      keepFiles: 10,
      freeHead: punchHead,
      ...settings,
    };
    this.log = this.create();
    opened.push(this);
  }

  private create(): InstanceLog {
    return new InstanceLog(this.saved, this.settings, {
      saveSegments: (segments) => {
        if (this.cannotSave) throw new Error("no space left");
        this.saved = structuredClone(segments);
      },
      warn: (message) => this.warnings.push(message),
    });
  }

  async start(alias = "a"): Promise<void> {
    this.closeWriter();
    const { path, fd } = await this.log.begin(alias);
    this.fd = fd;
    this.file = path;
    this.log.follow();
  }

  write(text: string | Buffer): void {
    if (this.fd === null) throw new Error("not started");
    writeSync(this.fd, text as string);
  }

  /** Writes, and waits until the log has read so many lines. */
  async writeLines(lines: readonly string[]): Promise<void> {
    const expected = this.log.nextSeq + lines.length;
    this.write(lines.map((line) => `${line}\n`).join(""));
    await until(`${expected} lines`, () => this.log.nextSeq === expected);
  }

  /** As if the daemon had been killed, and came back. */
  async comeBack(): Promise<void> {
    this.log.close();
    this.log = this.create();
    await this.log.open();
    this.log.follow();
  }

  all(after = -1): LogEntry[] {
    return readPage(this.log, { after, tail: null }, 1_000_000);
  }

  closeWriter(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }

  end(): void {
    this.closeWriter();
    this.log.close();
  }
}

/** Opening it fails though it is there, for root too: a link in a circle. Returns how to end that. */
const makeUnreadable = (path: string): (() => void) => {
  renameSync(path, `${path}.away`);
  symlinkSync(path, path);
  return () => renameSync(`${path}.away`, path);
};

const numbered = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => `line ${from + n}`);

const seqs = (entries: readonly LogEntry[]): number[] => entries.map(({ seq }) => seq);
const shown = (entries: readonly LogEntry[]): string[] => entries.map(({ seq, line }) => `${seq} ${line}`);
const timed = (entries: readonly LogEntry[]) => entries.map(({ seq, timestamp, line }) => ({ seq, timestamp, line }));

describe("the lines of an instance", () => {
  test("are numbered from 0 on, over every start", async () => {
    const bench = new Bench();
    expect(bench.log.nextSeq).toBe(0);
    await bench.start();
    await bench.writeLines(["a", "b"]);
    await bench.start();
    await bench.writeLines(["c"]);
    expect(shown(bench.all())).toEqual(["0 a", "1 b", "2 c"]);
    expect(bench.saved.map(({ first_seq }) => first_seq)).toEqual([0, 2]);
    expect(readdirSync(bench.settings.dir)).toHaveLength(2);
  });

  test("count a last line that has no end, once nothing comes any more", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(["a"]);
    bench.write("no end");
    await bench.log.settle();
    expect(shown(bench.all())).toEqual(["0 a"]);
    await bench.log.finish();
    expect(shown(bench.all())).toEqual(["0 a", "1 no end"]);
    await bench.start();
    await bench.writeLines(["b"]);
    expect(shown(bench.all())).toEqual(["0 a", "1 no end", "2 b"]);
  });

  test("have the same numbers, times and texts after the daemon came back", async () => {
    const bench = new Bench({ bufferSize: 5 });
    await bench.start();
    for (let round = 0; round < 6; round++) {
      await bench.writeLines(numbered(round * 3, 3));
      await Bun.sleep(3);
    }
    const before = timed(bench.all());
    expect(new Set(before.map(({ timestamp }) => timestamp)).size).toBeGreaterThan(1);
    await bench.comeBack();
    expect(timed(bench.all())).toEqual(before);
    await bench.writeLines(["next"]);
    expect(shown(bench.all(16))).toEqual(["17 line 17", "18 next"]);
  });

  test("that were written while no daemon was there are numbered on, each once", async () => {
    const bench = new Bench({ bufferSize: 4 });
    await bench.start();
    await bench.writeLines(numbered(0, 20));
    bench.log.close();
    bench.write(numbered(20, 30).join("\n"));
    bench.write("\n");
    await bench.comeBack();
    expect(shown(bench.all(17))).toEqual(numbered(18, 32).map((line, n) => `${18 + n} ${line}`));
  });

  test("that end in the middle of a line when the daemon dies are whole when it is back", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(["a"]);
    bench.write("first half, ");
    await bench.log.settle();
    await bench.comeBack();
    expect(shown(bench.all())).toEqual(["0 a"]);
    bench.write("second half\n");
    await until("the line", () => bench.log.nextSeq === 2);
    expect(shown(bench.all())).toEqual(["0 a", "1 first half, second half"]);
  });

  test("keep the time of a last line without an end when the daemon comes back", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(["a"]);
    bench.write("no end");
    await bench.log.finish();
    const before = timed(bench.all());
    expect(before).toHaveLength(2);
    for (let round = 0; round < 3; round++) {
      await Bun.sleep(5);
      await bench.comeBack();
      await bench.log.finish();
      expect(timed(bench.all())).toEqual(before);
    }
    // Lines older than memory come from the file, with the times that its index tells.
    await bench.start();
    await bench.writeLines(numbered(0, 30));
    expect(timed(bench.all()).slice(0, 2)).toEqual(before);
  });

  test("have the time at which they were written where no daemon read them then", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(["a"]);
    bench.log.close();
    bench.write("meanwhile\n");
    // The kernel's clock for files may be behind the one that told when the first line was read.
    const written = new Date(Date.now() + 60_000);
    utimesSync(bench.file, written, written);
    await bench.comeBack();
    expect(bench.all(0)[0]?.timestamp).toBe(written.toISOString());
  });

  test("older than memory come from the files, wherever one begins to read", async () => {
    const bench = new Bench({ bufferSize: 7 });
    for (let start = 0; start < 3; start++) {
      await bench.start();
      await bench.writeLines(numbered(start * 1000, 1000));
    }
    const random = seeded(7);
    for (let round = 0; round < 50; round++) {
      const after = below(random, 3000) - 1;
      const limit = 1 + below(random, 1500);
      const page = readPage(bench.log, { after, tail: null }, limit);
      expect(page.length).toBe(Math.min(limit, 2999 - after));
      expect(page.every(({ seq, line }, n) => seq === after + 1 + n && line === `line ${seq}`)).toBe(true);
    }
  });

  test("are the same from memory and from the file: ends, broken bytes and all", async () => {
    const bench = new Bench({ bufferSize: 1000 });
    await bench.start();
    const odd = Buffer.concat([
      Buffer.from("10%\r20%\r\n\r\n\n"),
      Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x00, 0x0a]),
      Buffer.from("\u001b[31mred\u001b[0m\n日本\n"),
    ]);
    bench.write(odd);
    await until("8 lines", () => bench.log.nextSeq === 8);
    const fromMemory = timed(bench.all());
    await bench.writeLines(numbered(0, 2000));
    expect(timed(bench.all()).slice(0, 8)).toEqual(fromMemory);
  });

  test("of 10 MB are whole, from memory and from the file, and hold up none behind them", async () => {
    const bench = new Bench({ bufferSize: 2, maxBytes: 100 * 1024 * 1024 });
    await bench.start();
    const long = "0123456789".repeat(1_000_000);
    await bench.writeLines([long, "next"]);
    expect(bench.all().map(({ line }) => line.length)).toEqual([long.length, 4]);
    await bench.writeLines(["more", "and more"]);
    const [first] = bench.all();
    expect(first?.line === long).toBe(true);
  });

  test("whose file was removed are a gap, and those of other files are not", async () => {
    const bench = new Bench({ bufferSize: 2 });
    for (let start = 0; start < 3; start++) {
      await bench.start();
      await bench.writeLines(numbered(start * 10, 10));
    }
    const middle = join(bench.settings.dir, bench.saved[1]?.file ?? "");
    unlinkSync(middle);
    const cursor = new LogCursor(bench.log, 0);
    const gaps: unknown[] = [];
    const lines: number[] = [];
    for (;;) {
      const { gap, entries } = cursor.next(100);
      if (entries.length === 0) break;
      if (gap !== null) gaps.push(gap);
      lines.push(...seqs(entries));
    }
    expect(gaps).toEqual([{ from: 10, to: 19 }]);
    expect(lines).toEqual([...numbered(0, 10).keys(), ...Array.from({ length: 10 }, (_, n) => 20 + n)]);
  });

  for (const what of ["log", "index"] as const) {
    test(`whose ${what} file cannot be read now are not gone: they come when it can be`, async () => {
      const bench = new Bench({ bufferSize: 2 });
      for (let start = 0; start < 2; start++) {
        await bench.start();
        await bench.writeLines(numbered(start * 10, 10));
      }
      const before = timed(bench.all());
      const file = join(bench.settings.dir, bench.saved[0]?.file ?? "");
      const path = what === "log" ? file : indexPath(bench.settings.indexDir, file);
      const cursor = new LogCursor(bench.log, 3);
      const restore = makeUnreadable(path);
      expect(() => cursor.next(100)).toThrow(LogUnreadableError);
      expect(() => bench.all()).toThrow(/^Cannot read the log: .* is a link that leads in a circle$/);
      expect(seqs(bench.all(15))).toEqual([16, 17, 18, 19]);
      restore();
      const { gap, entries } = cursor.next(100);
      expect([gap, timed(entries)]).toEqual([null, before.slice(3, 10)]);
    });
  }

  test("of a newest file that cannot be read when the daemon comes back are read at the next try", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(numbered(0, 10));
    const before = timed(bench.all());
    const restore = makeUnreadable(bench.file);
    await expect(bench.comeBack()).rejects.toThrow(LogUnreadableError);
    await expect(bench.log.begin("a")).rejects.toThrow(LogUnreadableError);
    restore();
    await bench.log.open();
    expect(timed(bench.all())).toEqual(before);
    await bench.start();
    await bench.writeLines(["next"]);
    expect(shown(bench.all(9))).toEqual(["10 next"]);
  });

  test("keep their numbers even when the newest file was removed while no daemon was there", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(numbered(0, 30));
    bench.closeWriter();
    bench.log.close();
    unlinkSync(bench.file);
    await bench.comeBack();
    expect(bench.log.nextSeq).toBe(30);
    await bench.start();
    await bench.writeLines(["after"]);
    expect(shown(bench.all(29))).toEqual(["30 after"]);
  });

  test("that are all gone are told as a gap before a new one comes, and once", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(numbered(0, 30));
    bench.closeWriter();
    bench.log.close();
    unlinkSync(bench.file);
    await bench.comeBack();
    const cursor = new LogCursor(bench.log, 3);
    expect(cursor.next(10)).toEqual({ gap: { from: 3, to: 29 }, entries: [] });
    expect(cursor.next(10)).toEqual({ gap: null, entries: [] });
    await bench.start();
    await bench.writeLines(["after"]);
    const { gap, entries } = cursor.next(10);
    expect([gap, shown(entries)]).toEqual([null, ["30 after"]]);
    // A reader of lines that are yet to come waits for them.
    expect(new LogCursor(bench.log, 1000).next(10)).toEqual({ gap: null, entries: [] });
  });
});

describe("a log that another program truncates", () => {
  const after = (bench: Bench, seq: number): string[] => shown(bench.all(seq));

  test("goes on at once, numbers and all; what memory holds of the lines before stays", async () => {
    const bench = new Bench({ bufferSize: 10 });
    await bench.start();
    const cursor = new LogCursor(bench.log, 0);
    await bench.writeLines(numbered(0, 50));
    bench.write("half a line");
    await bench.log.settle();
    truncateSync(bench.file, 0);
    await until("the half line", () => bench.log.nextSeq === 51);
    await bench.writeLines(["new 0", "new 1"]);
    expect(after(bench, 48)).toEqual(["49 line 49", "50 half a line", "51 new 0", "52 new 1"]);
    const { gap, entries } = cursor.next(100);
    expect([gap, entries[0]?.line]).toEqual([{ from: 0, to: 42 }, "line 43"]);
    // From the file, not from memory.
    await bench.writeLines(numbered(53, 30));
    expect(after(bench, -1)).toEqual([
      "51 new 0",
      "52 new 1",
      ...numbered(53, 30).map((line, n) => `${53 + n} ${line}`),
    ]);
    const before = timed(bench.all());
    await bench.comeBack();
    expect(timed(bench.all())).toEqual(before);
    await bench.writeLines(["next"]);
    expect(after(bench, 82)).toEqual(["83 next"]);
    expect(bench.warnings).toHaveLength(1);
    expect(bench.warnings[0]).toContain("truncated");
  });

  test("is not read on in the middle by who had read it to its old end", async () => {
    const bench = new Bench({ bufferSize: 2 });
    await bench.start();
    await bench.writeLines(numbered(0, 6));
    const cursor = new LogCursor(bench.log, 0);
    expect(cursor.next(100).entries).toHaveLength(6);
    await bench.writeLines(["6", "7", "8"]);
    expect(seqs(cursor.next(1).entries)).toEqual([6, 7, 8]);
    truncateSync(bench.file, 0);
    await until("that it was noticed", () => bench.warnings.length === 1);
    await bench.writeLines(numbered(9, 20));
    expect(shown(cursor.next(100).entries)).toEqual(numbered(9, 20).map((line, n) => `${9 + n} ${line}`));
  });

  for (const [how, lines] of [
    ["shorter", 3],
    ["as long as before, in fewer lines", 1],
  ] as const) {
    test(`while no daemon is there keeps its numbers, and no new line is left out: ${how}`, async () => {
      const bench = new Bench();
      await bench.start();
      await bench.writeLines(numbered(0, 50));
      bench.log.close();
      truncateSync(bench.file, 0);
      const texts = numbered(50, lines).map((line) => (lines === 1 ? line.padEnd(2000, ".") : line));
      bench.write(`${texts.join("\n")}\n`);
      const expected = texts.map((line, n) => `${50 + n} ${line}`);
      await bench.comeBack();
      expect(after(bench, -1)).toEqual(expected);
      await bench.comeBack();
      expect(after(bench, -1)).toEqual(expected);
      await bench.writeLines(["next"]);
      expect(after(bench, 49 + lines)).toEqual([`${50 + lines} next`]);
      expect(bench.warnings).toHaveLength(1);
    });
  }

  test("and that nothing comes to any more keeps its numbers over the daemon's return", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(numbered(0, 50));
    await bench.log.finish();
    bench.closeWriter();
    truncateSync(bench.file, 0);
    await bench.comeBack();
    expect(bench.log.nextSeq).toBe(50);
    await bench.start();
    await bench.writeLines(["next"]);
    expect(after(bench, -1)).toEqual(["50 next"]);
  });
});

describe("a writer that is faster than lines are read", () => {
  test("does not keep the log from coming to an end: what is there at the call is read, and no more is waited for", async () => {
    const path = join(temporaryFolder(), "a.log");
    const chunk = Buffer.alloc(256 * 1024, "x");
    writeFileSync(path, Buffer.concat([chunk, chunk]));
    const whole = 500;
    let written = 2;
    const follower = new FileFollower(path, 0, () => {
      // As much as was read is there again, as long as the log is read.
      if (written < whole) appendFileSync(path, chunk);
      written += 1;
    });
    await follower.drain();
    follower.close();
    expect(written).toBeLessThan(20);
  });
});

describe("a start for which there is no descriptor left", () => {
  const open = (): number => readdirSync("/proc/self/fd").length;

  test.skipIf(process.platform !== "linux")(
    "keeps none open, leaves no file, and the next one is numbered on",
    async () => {
      const bench = new Bench();
      await bench.start();
      await bench.writeLines(["a", "b"]);
      bench.end();
      const files = readdirSync(bench.settings.dir);
      const before = open();
      for (const broken of ["index", "record"]) {
        bench.cannotSave = broken === "record";
        // Its index cannot be made where a file has the folder's name.
        if (broken === "index") renameSync(bench.settings.indexDir, `${bench.settings.indexDir}-away`);
        if (broken === "index") writeFileSync(bench.settings.indexDir, "");
        for (let attempt = 0; attempt < 5; attempt++)
          await bench.log.begin("a").then(
            () => {
              throw new Error("begun");
            },
            () => undefined,
          );
        if (broken === "index") unlinkSync(bench.settings.indexDir);
        if (broken === "index") renameSync(`${bench.settings.indexDir}-away`, bench.settings.indexDir);
        expect(open()).toBe(before);
        expect(readdirSync(bench.settings.dir)).toEqual(files);
      }
      bench.cannotSave = false;
      await bench.start();
      await bench.writeLines(["c"]);
      expect(bench.log.nextSeq).toBe(3);
    },
  );
});

describe("the log of a deleted instance", () => {
  const held = ({ settings }: Bench): number[] =>
    [settings.dir, settings.indexDir].map((dir) => readdirSync(dir).length);

  test("stays on the disk with its index, until it is removed or pruned", async () => {
    for (const end of ["remove", "prune"]) {
      const bench = new Bench();
      for (let start = 0; start < 2; start++) {
        await bench.start();
        await bench.writeLines(["a"]);
      }
      expect(pruneLogs(bench.settings, new Set(bench.log.fileNames), false).removed).toEqual([]);
      bench.log.close();
      expect(held(bench)).toEqual([2, 2]);
      if (end === "remove") bench.log.remove();
      else expect(pruneLogs(bench.settings, new Set(), false).removed).toHaveLength(2);
      expect(held(bench)).toEqual([0, 0]);
      expect(bench.warnings).toEqual([]);
    }
  });

  test("stays known where LOG_DIR is away for a while, an unmounted disk say", async () => {
    const bench = new Bench();
    await bench.start();
    await bench.writeLines(["a"]);
    bench.log.close();
    renameSync(bench.settings.dir, `${bench.settings.dir}-away`);
    expect(pruneLogs(bench.settings, new Set(), false).removed).toEqual([]);
    renameSync(`${bench.settings.dir}-away`, bench.settings.dir);
    expect(pruneLogs(bench.settings, new Set(), false).removed).toHaveLength(1);
  });
});

describe.skipIf(!canMount())("a full disk", () => {
  test("costs no line and no number, while it is full, after it and over the daemon's return", async () => {
    const disk = tinyDisk();
    const bench = new Bench({ indexDir: disk, bufferSize: 5 });
    await bench.start();
    writeFileSync(join(disk, "filler"), "");
    const filler = Buffer.alloc(4096);
    try {
      for (;;) appendFileSync(join(disk, "filler"), filler);
    } catch (error) {
      expect(String(error)).toContain("ENOSPC");
    }
    // A page of the index holds 170 records and a half.
    for (let n = 0; n < 200; n++) await bench.writeLines([`line ${n}`]);
    expect(shown(bench.all())).toEqual(numbered(0, 200).map((line, n) => `${n} ${line}`));
    await bench.comeBack();
    expect(bench.log.nextSeq).toBe(200);
    unlinkSync(join(disk, "filler"));
    for (let n = 200; n < 230; n++) await bench.writeLines([`line ${n}`]);
    const before = timed(bench.all());
    await bench.comeBack();
    expect(bench.log.nextSeq).toBe(230);
    expect(shown(bench.all())).toEqual(numbered(0, 230).map((line, n) => `${n} ${line}`));
    const times = before.map(({ timestamp }) => timestamp);
    expect(times).toEqual(times.toSorted());
  });
});

describe("a follower", () => {
  test("gets each line once and in order, whatever the size of the writes", async () => {
    const bench = new Bench({ bufferSize: 20 });
    await bench.start();
    const cursor = new LogCursor(bench.log, 0);
    const got: string[] = [];
    const read = (): void => {
      for (let page = cursor.next(64); page.entries.length > 0; page = cursor.next(64)) {
        expect(page.gap).toBeNull();
        for (const { seq, line } of page.entries) got.push(`${seq} ${line}`);
      }
    };
    bench.log.subscribe(read);
    const random = seeded(3);
    const text = numbered(0, 5000).join("\n");
    for (let at = 0; at < text.length; ) {
      const size = 1 + below(random, 4000);
      bench.write(text.slice(at, at + size));
      at += size;
      if (random() < 0.2) await Bun.sleep(1);
    }
    bench.write("\n");
    await until("all lines", () => bench.log.nextSeq === 5000);
    read();
    expect(got).toEqual(numbered(0, 5000).map((line, n) => `${n} ${line}`));
  });

  test("that is slow reads from the file what memory has no more, and catches up", async () => {
    const bench = new Bench({ bufferSize: 5 });
    await bench.start();
    const cursor = new LogCursor(bench.log, 0);
    await bench.writeLines(numbered(0, 10_000));
    const got: number[] = [];
    for (let page = cursor.next(100); page.entries.length > 0; page = cursor.next(100)) got.push(...seqs(page.entries));
    expect(got).toEqual([...Array(10_000).keys()]);
    await bench.writeLines(["more"]);
    expect(seqs(cursor.next(100).entries)).toEqual([10_000]);
  });
});

describe("what a client asks for", () => {
  const log = { nextSeq: 100, replaySeq: 90, firstSeq: 20 };

  test("is the replay when it asks for nothing", () => {
    expect(firstSeqFor(log, { after: null, tail: null })).toBe(90);
  });

  test("begins behind `after`, also where those lines are gone: that is a gap", () => {
    expect(firstSeqFor(log, { after: 50, tail: null })).toBe(51);
    expect(firstSeqFor(log, { after: 3, tail: null })).toBe(4);
    expect(firstSeqFor(log, { after: -1, tail: null })).toBe(0);
    expect(firstSeqFor(log, { after: 99, tail: null })).toBe(100);
  });

  test("is at most the last `tail` lines, older than memory too", () => {
    expect(firstSeqFor(log, { after: null, tail: 30 })).toBe(70);
    expect(firstSeqFor(log, { after: null, tail: 0 })).toBe(100);
    expect(firstSeqFor(log, { after: null, tail: 1000 })).toBe(20);
  });

  test("is the last `tail` of what comes after `after`", () => {
    expect(firstSeqFor(log, { after: 95, tail: 30 })).toBe(96);
    expect(firstSeqFor(log, { after: 50, tail: 3 })).toBe(97);
  });
});

describe("log files are capped", () => {
  const line = (n: number): string => `${n} `.padEnd(99, "x");

  test("in size: the head's blocks are given back while the writer goes on, and the numbers stay true", async () => {
    const bench = new Bench({ maxBytes: 1024 * 1024, bufferSize: 10 });
    await bench.start();
    for (let round = 0; round < 60; round++) {
      await bench.writeLines(Array.from({ length: 1000 }, (_, n) => line(round * 1000 + n)));
      const held = statSync(bench.file).blocks * 512;
      expect(held).toBeLessThan(2 * 1024 * 1024);
    }
    expect(statSync(bench.file).size).toBe(6_000_000);
    const { firstSeq } = bench.log;
    expect(firstSeq).toBeGreaterThan(45_000);
    expect(60_000 - firstSeq).toBeGreaterThan(10_000);

    const cursor = new LogCursor(bench.log, 1000);
    const { gap, entries } = cursor.next(10);
    expect(gap).toEqual({ from: 1000, to: firstSeq - 1 });
    expect([entries[0]?.seq, entries[0]?.line]).toEqual([firstSeq, line(firstSeq)]);

    await bench.comeBack();
    expect([bench.log.firstSeq, bench.log.nextSeq]).toEqual([firstSeq, 60_000]);
    const page = bench.all(firstSeq + 99);
    expect(page.length).toBe(60_000 - firstSeq - 100);
    expect(page.every((entry, n) => entry.seq === firstSeq + 100 + n && entry.line === line(entry.seq))).toBe(true);
    await bench.writeLines(["next"]);
    expect(bench.all(59_999).map(({ seq }) => seq)).toEqual([60_000]);
    expect(bench.warnings).toEqual([]);
  });

  test("in size, but not under a reader who is a little behind", async () => {
    const bench = new Bench({ maxBytes: 1024 * 1024, bufferSize: 10 });
    await bench.start();
    const cursor = new LogCursor(bench.log, 0);
    bench.log.addReader(cursor);
    for (let round = 0; round < 15; round++) {
      await bench.writeLines(Array.from({ length: 1000 }, (_, n) => line(round * 1000 + n)));
    }
    expect(cursor.next(10).gap).toBeNull();
  });

  test("in size, under a reader who does not read at all too: one stalled viewer does not fill the disk", async () => {
    const bench = new Bench({ maxBytes: 1024 * 1024, bufferSize: 10 });
    await bench.start();
    const cursor = new LogCursor(bench.log, 0);
    bench.log.addReader(cursor);
    for (let round = 0; round < 60; round++) {
      await bench.writeLines(Array.from({ length: 1000 }, (_, n) => line(round * 1000 + n)));
    }
    expect(statSync(bench.file).blocks * 512).toBeLessThan(3 * 1024 * 1024);
    expect(cursor.next(10).gap).toEqual({ from: 0, to: bench.log.firstSeq - 1 });
  });

  test("where the file system cannot free a head, nothing is lost and the daemon's log says so once", async () => {
    const bench = new Bench({ maxBytes: 100_000, freeHead: () => false });
    await bench.start();
    for (let round = 0; round < 6; round++) {
      await bench.writeLines(Array.from({ length: 500 }, (_, n) => line(round * 500 + n)));
    }
    expect(bench.warnings).toHaveLength(1);
    expect(bench.warnings[0]).toContain("grows over its cap");
    expect(bench.log.firstSeq).toBe(0);
    expect(bench.all().length).toBe(3000);
  });

  test("where that cannot be recorded, nothing is given back, and all of it is still held", async () => {
    const bench = new Bench({ maxBytes: 100_000, bufferSize: 10 });
    await bench.start();
    bench.cannotSave = true;
    for (let round = 0; round < 6; round++) {
      await bench.writeLines(Array.from({ length: 500 }, (_, n) => line(round * 500 + n)));
    }
    expect(bench.warnings).toHaveLength(1);
    expect(bench.warnings[0]).toContain("cannot cap");
    expect(bench.log.firstSeq).toBe(0);
    expect(bench.all().map((entry) => entry.line)).toEqual(Array.from({ length: 3000 }, (_, n) => line(n)));
  });

  test("in number, and only those of this instance: not another's whose alias begins alike", async () => {
    const dir = temporaryFolder();
    const other = new Bench({ keepFiles: 2 }, dir);
    const mine = new Bench({ keepFiles: 2, bufferSize: 2 }, dir);
    await other.start("a_b");
    await other.writeLines(["other"]);
    writeFileSync(join(mine.settings.dir, "a_1700000000.log"), "somebody's own");
    for (let start = 0; start < 5; start++) {
      await mine.start("a");
      await mine.writeLines(numbered(start * 2, 2));
    }
    expect(existsSync(other.file)).toBe(true);
    expect(existsSync(join(mine.settings.dir, "a_1700000000.log"))).toBe(true);
    expect(readdirSync(mine.settings.dir)).toHaveLength(4);
    expect(mine.saved.map(({ first_seq }) => first_seq)).toEqual([6, 8]);
    expect(mine.log.firstSeq).toBe(6);
    expect(seqs(mine.all())).toEqual([6, 7, 8, 9]);
    expect(new LogCursor(mine.log, 0).next(10).gap).toEqual({ from: 0, to: 5 });
    expect(shown(other.all())).toEqual(["0 other"]);
    expect(readdirSync(mine.settings.indexDir)).toHaveLength(3);
  });

  test("in number, but not under a reader: the file stays until it has passed, one start longer at the most", async () => {
    const bench = new Bench({ keepFiles: 1, bufferSize: 2 });
    await bench.start();
    await bench.writeLines(numbered(0, 20_000));
    const reader = new LogCursor(bench.log, 0);
    const leave = bench.log.addReader(reader);
    const got = seqs(reader.next(100).entries);
    await bench.start();
    await bench.writeLines(numbered(20_000, 10));
    expect(readdirSync(bench.settings.dir)).toHaveLength(2);
    for (let page = reader.next(100); page.entries.length > 0; page = reader.next(100)) {
      expect(page.gap).toBeNull();
      got.push(...seqs(page.entries));
    }
    expect(got).toEqual([...Array(20_010).keys()]);
    expect(readdirSync(bench.settings.dir)).toHaveLength(1);
    expect(bench.saved.map(({ first_seq }) => first_seq)).toEqual([20_000]);

    leave();
    const stalled = new LogCursor(bench.log, 20_000);
    const stalledLeaves = bench.log.addReader(stalled);
    for (let start = 1; start < 4; start++) {
      await bench.start();
      await bench.writeLines(numbered(20_000 + start * 10, 10));
      expect(readdirSync(bench.settings.dir)).toHaveLength(2);
    }
    expect(stalled.next(100).gap).toEqual({ from: 20_000, to: 20_019 });
    stalledLeaves();
    expect(readdirSync(bench.settings.dir)).toHaveLength(1);
    expect(readdirSync(bench.settings.indexDir)).toHaveLength(1);
    expect(bench.log.firstSeq).toBe(20_030);
  });
});
