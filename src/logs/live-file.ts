import { statSync } from "node:fs";
import { FileFollower } from "./follower.ts";
import type { LogBatch } from "./ring.ts";
import { type FilePosition, LineClock, type SegmentRecord } from "./segment.ts";
import { LineSplitter } from "./splitter.ts";
import type { TimeIndex } from "./time-index.ts";

/** The file that lines come to: followed, cut into lines, and its index kept of when they were read. */

/** The part of the newest file that is read again when a daemon comes back, to know what the server was doing. */
const REPLAY_BYTES = 1024 * 1024;

export type LiveFileEvent =
  /** Whole lines, in order. */
  | { type: "batch"; batch: LogBatch }
  /** It cannot be read now. */
  | { type: "unreadable"; error: unknown }
  /** The file was made shorter, by another program. */
  | { type: "truncated" };

export class LiveFile {
  private readonly follower: FileFollower;
  private splitter: LineSplitter;
  /** Set while the lines are read that were there before this daemon; knows when earlier ones were read. */
  private catchingUp: LineClock | null = null;

  /**
   * @param offset where line `seq` begins
   * @throws where the file cannot be opened
   */
  constructor(
    public segment: SegmentRecord,
    readonly index: TimeIndex,
    offset: number,
    /** Number of the next line. */
    private seq: number,
    private readonly listener: (live: LiveFile, event: LiveFileEvent) => void,
  ) {
    this.splitter = new LineSplitter(offset);
    this.follower = new FileFollower(segment.file, offset, (chunk) => this.emit(this.splitter.push(chunk)), {
      onTruncated: () => listener(this, { type: "truncated" }),
      onUnreadable: (error) => listener(this, { type: "unreadable", error }),
    });
  }

  /** The open file: it can be read even when its name is gone. */
  get descriptor(): number {
    return this.follower.descriptor;
  }

  /** Where the first line begins that is not whole yet. */
  get nextLineOffset(): number {
    return this.splitter.nextLineOffset;
  }

  /** Lines that have begun and are not whole yet: one or none. */
  get unfinishedLines(): number {
    return this.splitter.unfinishedBytes > 0 ? 1 : 0;
  }

  follow(): void {
    this.follower.start();
  }

  /** Reads what is there by now. */
  drain(): Promise<void> {
    return this.follower.drain();
  }

  /** Reads what was there before this daemon. */
  async catchUp(): Promise<void> {
    this.catchingUp = this.clock();
    await this.drain();
    this.catchingUp = null;
  }

  /** Gives out what stands behind the last line end. */
  flush(): void {
    this.emit(this.splitter.flush());
  }

  /** The file no longer holds the lines before `seq`: it is read as a new one that begins with that. */
  beginAnew(seq: number): void {
    this.segment = { ...this.segment, first_seq: seq, held_offset: 0, held_seq: seq };
    this.splitter = new LineSplitter(0);
    this.seq = seq;
    const time = Math.max(this.follower.modified.getTime(), this.index.last?.time ?? 0);
    this.index.restart({ seq, offset: 0, time });
  }

  private emit(lines: readonly string[]): void {
    for (const batch of this.stamp(lines)) this.listener(this, { type: "batch", batch });
  }

  /** Numbers lines that end where it stands, tells when they were read, and notes it in the index. */
  private stamp(lines: readonly string[]): LogBatch[] {
    if (lines.length === 0) return [];
    const { seq } = this;
    this.seq += lines.length;
    const known = Math.min(lines.length, Math.max(0, (this.index.last?.seq ?? 0) - seq));
    // A last line without an end, too, may have been read by an earlier daemon already.
    const clock = this.catchingUp ?? (known === 0 ? null : this.clock());
    const stamped: LogBatch[] =
      clock === null
        ? []
        : lines.slice(0, known).map((line, n) => ({ seq: seq + n, lines: [line], timestamp: clock.timeOf(seq + n) }));
    if (known === lines.length) return stamped;
    // What came while no daemon read it: the file's own time tells best when.
    const written = clock === null ? Date.now() : this.follower.modified.getTime();
    const time = Math.max(written, this.index.last?.time ?? 0);
    this.index.append({ seq: seq + lines.length, offset: this.nextLineOffset, time });
    const timestamp = new Date(time).toISOString();
    stamped.push({ seq: seq + known, lines: known === 0 ? lines : lines.slice(known), timestamp });
    return stamped;
  }

  /** Lets go of the file; the index stays open. */
  release(): void {
    this.follower.close();
  }

  close(): void {
    this.release();
    this.index.close();
  }

  private clock(): LineClock {
    return new LineClock(this.index, Date.parse(this.segment.started_at));
  }
}

/** Seq behind the lines of a file that an earlier daemon read. */
export const knownSeq = (segment: SegmentRecord, index: TimeIndex): number =>
  Math.max(segment.held_seq, index.last?.seq ?? 0);

/** Where to begin reading the newest file again; "gone" and "truncated" where it no longer holds what was read of it. */
export const resumeAt = (segment: SegmentRecord, index: TimeIndex): FilePosition | "gone" | "truncated" => {
  const size = statSync(segment.file, { throwIfNoEntry: false })?.size;
  if (size === undefined) return "gone";
  if (size < Math.max(segment.held_offset, index.last?.offset ?? 0)) return "truncated";
  const entry = index.beforeOffset(Math.max(segment.held_offset, size - REPLAY_BYTES));
  return entry === null || entry.offset < segment.held_offset || entry.seq < segment.held_seq
    ? { segment, seq: segment.held_seq, offset: segment.held_offset }
    : { segment, seq: entry.seq, offset: entry.offset };
};
