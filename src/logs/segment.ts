import { closeSync, openSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import type { StoredSegment } from "./file-place.ts";
import type { LogEntry } from "./ring.ts";
import { LineSplitter } from "./splitter.ts";
import { type IndexEntry, TimeIndex } from "./time-index.ts";

/**
 * One log file of an instance, by its absolute path. Line n of the file has seq `first_seq` + n. A file
 * that was truncated has a new record: its lines are others then.
 */
export interface SegmentRecord {
  file: string;
  first_seq: number;
  /** RFC 3339, UTC. */
  started_at: string;
  /** Where the oldest line begins that is still in the file: its head is given back when it is over its cap. */
  held_offset: number;
  held_seq: number;
}

const isSegment = (value: unknown): value is StoredSegment => {
  const { file, dir, first_seq, started_at, held_offset, held_seq } = (value ?? {}) as Record<string, unknown>;
  const numbers = [first_seq, held_offset, held_seq].every((number) => Number.isSafeInteger(number));
  const texts = typeof file === "string" && file !== "" && typeof started_at === "string";
  return texts && numbers && (dir === undefined || typeof dir === "string");
};

export const areSegments = (value: unknown): value is StoredSegment[] => Array.isArray(value) && value.every(isSegment);

export const indexPath = (indexDir: string, file: string): string => join(indexDir, `${basename(file)}.idx`);

/** Where a reader stands in a file. */
export interface FilePosition {
  segment: SegmentRecord;
  seq: number;
  offset: number;
}

const CHUNK_BYTES = 64 * 1024;
const ENTRIES_AT_ONCE = 4096;

/** Gives each line the time at which it was read: that of the first index entry behind it. */
export class LineClock {
  private entries: IndexEntry[] = [];
  private at = 0;
  private time: number;
  private timestamp = "";

  /** @param fallback time of lines that no entry covers, milliseconds since 1970 */
  constructor(
    private readonly index: TimeIndex | null,
    fallback: number,
  ) {
    this.time = fallback;
  }

  /** Must be asked in the order of the lines. */
  timeOf(seq: number): string {
    while ((this.entries[this.at]?.seq ?? 0) <= seq) {
      this.at += 1;
      if (this.at >= this.entries.length && !this.refill(seq)) break;
    }
    const time = this.entries[this.at]?.time ?? this.time;
    if (time !== this.time || this.timestamp === "") {
      this.time = time;
      this.timestamp = new Date(time).toISOString();
    }
    return this.timestamp;
  }

  private refill(seq: number): boolean {
    this.entries = this.index?.after(seq, ENTRIES_AT_ONCE) ?? [];
    this.at = 0;
    return this.entries.length > 0;
  }
}

/** Seq of the first line of a file that was read at `time` or later; null where all its lines are earlier. */
export const firstSeqAt = (segment: SegmentRecord, indexFile: string, time: number): number | null => {
  const index = TimeIndex.openExisting(indexFile);
  try {
    // Without an index, all its lines have the time of its start.
    const seq = index === null ? (Date.parse(segment.started_at) < time ? null : 0) : index.firstSeqAt(time);
    return seq === null ? null : Math.max(seq, segment.held_seq);
  } finally {
    index?.close();
  }
};

/** When the last line of a file was read, RFC 3339; the time of its start where that is not known. */
export const lastTimeOf = (segment: SegmentRecord, indexFile: string): string => {
  const index = TimeIndex.openExisting(indexFile);
  try {
    const time = index?.newestTime ?? null;
    return time === null ? segment.started_at : new Date(time).toISOString();
  } finally {
    index?.close();
  }
};

/** Where to begin reading so as to reach line `seq`. */
const positionFor = (segment: SegmentRecord, index: TimeIndex | null, seq: number): FilePosition => {
  const entry = index?.before(seq) ?? null;
  const held = { segment, seq: segment.held_seq, offset: segment.held_offset };
  return entry === null || entry.offset < segment.held_offset || entry.seq < segment.held_seq
    ? held
    : { segment, seq: entry.seq, offset: entry.offset };
};

/**
 * Reads lines from `position` on, those before `from` left out and none at or after `end`: at least
 * one chunk's worth, or one line however long. `ended` says that the file will not grow any more,
 * so that what stands behind its last line end is a line too.
 * @throws where the file cannot be opened
 */
const readSegment = (
  file: { path: string; descriptor: number | null },
  index: TimeIndex | null,
  position: FilePosition,
  range: { from: number; end: number; ended: boolean; fallbackTime: number },
): { entries: LogEntry[]; position: FilePosition } => {
  const fd = file.descriptor ?? openSync(file.path, "r");
  try {
    const splitter = new LineSplitter(position.offset);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const clock = new LineClock(index, range.fallbackTime);
    const entries: LogEntry[] = [];
    let { seq } = position;
    for (let at = position.offset; entries.length === 0 && seq < range.end; ) {
      const read = readSync(fd, chunk, 0, CHUNK_BYTES, at);
      at += read;
      const lines = read === 0 ? (range.ended ? splitter.flush() : []) : splitter.push(chunk.subarray(0, read));
      for (const line of lines) {
        if (seq >= range.from && seq < range.end) entries.push({ seq, timestamp: clock.timeOf(seq), line });
        seq += 1;
      }
      if (read === 0) break;
    }
    return { entries, position: { segment: position.segment, seq, offset: splitter.nextLineOffset } };
  } finally {
    if (file.descriptor === null) closeSync(fd);
  }
};

/**
 * Lines of a file from `from` on, none at or after `end`; `descriptor` is of the file that lines still come to.
 * @throws where the file or its index cannot be read
 */
export const readPast = (
  segment: SegmentRecord,
  indexFile: string,
  position: FilePosition | null,
  { from, end, descriptor }: { from: number; end: number; descriptor: number | null },
): { entries: LogEntry[]; position: FilePosition } => {
  const index = TimeIndex.openExisting(indexFile);
  try {
    const resumable = position?.segment === segment && position.seq === from && position.offset >= segment.held_offset;
    const start = resumable ? position : positionFor(segment, index, from);
    return readSegment({ path: segment.file, descriptor }, index, start, {
      from,
      end,
      ended: descriptor === null,
      fallbackTime: Date.parse(segment.started_at),
    });
  } finally {
    index?.close();
  }
};
