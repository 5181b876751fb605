import { unlinkSync } from "node:fs";
import { basename } from "node:path";
import { isMissing, systemProblem } from "../common/system-error.ts";
import type { LogStart } from "../contract/frames.ts";
import { fromStored, isOurs, type StoredSegment, toStored } from "./file-place.ts";
import type { LogRecords, LogSettings } from "./log-settings.ts";
import { firstSeqAt, indexPath, lastTimeOf, type SegmentRecord } from "./segment.ts";

/** The files of one instance's log, oldest first: which are kept, and for which readers. */

/** A reader of the log at its own pace; its position keeps the caps from overtaking it early. */
export interface LogReaderPosition {
  readonly seq: number;
}

export class LogFiles {
  private segments: readonly SegmentRecord[];
  private readonly readers = new Set<LogReaderPosition>();
  /** A file that was due to go at the last start, and that a reader had not passed. */
  private keptForReaders: SegmentRecord | null = null;

  constructor(
    segments: readonly StoredSegment[],
    private readonly settings: Pick<LogSettings, "dir" | "home" | "indexDir" | "keepFiles">,
    private readonly records: Pick<LogRecords, "saveSegments" | "warn">,
  ) {
    this.segments = segments.map((segment) => fromStored(segment, settings));
  }

  get oldest(): SegmentRecord | null {
    return this.segments[0] ?? null;
  }

  get newest(): SegmentRecord | null {
    return this.segments.at(-1) ?? null;
  }

  /** Seq of the next line of the reader that is furthest behind; infinite where there is none. */
  get slowestReader(): number {
    return Math.min(...[...this.readers].map((reader) => reader.seq));
  }

  indexOf(segment: SegmentRecord): string {
    return indexPath(this.settings.indexDir, segment.file);
  }

  /** The file with line `seq`, and the first line of the one behind it. */
  holding(seq: number): { segment: SegmentRecord; end: number | null } | null {
    const at = this.segments.findLastIndex((segment) => segment.first_seq <= seq);
    const segment = this.segments[at];
    return segment === undefined ? null : { segment, end: this.segments[at + 1]?.first_seq ?? null };
  }

  /**
   * What each start wrote, oldest first.
   * @param nextSeq of the whole log
   * @param isLive whether lines still come to the newest
   * @throws where an index cannot be read
   */
  starts(nextSeq: number, isLive: boolean): LogStart[] {
    return this.segments.map((segment, at) => {
      const next = this.segments[at + 1];
      const isOpen = next === undefined && isLive;
      const { held_seq: first, started_at } = segment;
      const ended_at = isOpen ? null : lastTimeOf(segment, this.indexOf(segment));
      return { first, last: (next?.first_seq ?? nextSeq) - 1, started_at, ended_at };
    });
  }

  /** Seq of the first line that was read at `time` or later; null where there is none. @throws where an index cannot be read */
  firstSeqAt(time: number): number | null {
    for (const segment of this.segments) {
      const seq = firstSeqAt(segment, this.indexOf(segment), time);
      if (seq !== null) return seq;
    }
    return null;
  }

  /**
   * Takes in the file of a new start and lets the oldest go: one start later where a reader has not passed it.
   * @throws where that cannot be recorded; nothing is changed then
   */
  add(segment: SegmentRecord): void {
    const segments = [...this.segments, segment];
    const first = Math.max(0, segments.length - this.settings.keepFiles);
    const surplus = segments[first - 1] ?? null;
    const read = surplus !== null && this.slowestReader < (segments[first]?.first_seq ?? 0);
    this.keepOnly(segments.slice(read ? first - 1 : first));
    this.keptForReaders = read ? surplus : null;
  }

  /** The newest file has other lines now. */
  replaceNewest(segment: SegmentRecord): void {
    this.segments = [...this.segments.slice(0, -1), segment];
    this.save();
  }

  /** @throws where it cannot be written */
  save(): void {
    this.store(this.segments);
  }

  addReader(reader: LogReaderPosition): () => void {
    this.readers.add(reader);
    return () => {
      this.readers.delete(reader);
      this.dropPassed();
    };
  }

  /** Lets the file go that was kept for readers, once they have passed it. */
  dropPassed(): void {
    const surplus = this.keptForReaders;
    if (surplus === null) return;
    const rest = this.segments.filter((segment) => segment !== surplus);
    if (this.slowestReader < (rest[0]?.first_seq ?? 0)) return;
    this.keptForReaders = null;
    try {
      this.keepOnly(rest);
    } catch (error) {
      // The next start drops it.
      this.records.warn(`cannot drop ${surplus.file}: ${systemProblem(error)}`);
    }
  }

  /** Names of the files. */
  get names(): string[] {
    return this.segments.map(({ file }) => basename(file));
  }

  /** Removes all of it. */
  remove(): void {
    for (const segment of this.segments) this.removeFile(segment);
    this.segments = [];
  }

  private keepOnly(kept: readonly SegmentRecord[]): void {
    const dropped = this.segments.filter((old) => !kept.includes(old));
    this.store(kept);
    this.segments = kept;
    for (const old of dropped) this.removeFile(old);
  }

  private store(segments: readonly SegmentRecord[]): void {
    this.records.saveSegments(segments.map((segment) => toStored(segment, this.settings)));
  }

  private removeFile(segment: SegmentRecord): void {
    if (isOurs(segment.file, this.settings)) this.delete(segment.file);
    this.delete(this.indexOf(segment));
  }

  private delete(path: string): void {
    try {
      unlinkSync(path);
    } catch (error) {
      if (!isMissing(error)) this.records.warn(`cannot delete a log file: ${systemProblem(error, path)}`);
    }
  }
}
