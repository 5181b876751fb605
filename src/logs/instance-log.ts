import { closeSync, rmSync } from "node:fs";
import { inWords, isMissing, systemProblem } from "../common/system-error.ts";
import type { LogStart } from "../contract/frames.ts";
import { createLogFile } from "./file-name.ts";
import type { StoredSegment } from "./file-place.ts";
import { knownSeq, LiveFile, type LiveFileEvent, resumeAt } from "./live-file.ts";
import { addNote } from "./log-disk.ts";
import { LogFiles, type LogReaderPosition } from "./log-files.ts";
import type { LogRecords, LogSettings } from "./log-settings.ts";
import { type LogBatch, type LogEntry, LogRing } from "./ring.ts";
import { type FilePosition, readPast, type SegmentRecord } from "./segment.ts";
import { SizeCap } from "./size-cap.ts";
import { TimeIndex } from "./time-index.ts";
import { LogUnreadableError } from "./unreadable.ts";

export type { LogRecords, LogSettings };

/** What is held of a log from a line on. */
export interface HeldLines {
  /** Seq of the first line held; higher than was asked for where those in between are not held any more. */
  from: number;
  /** Empty when there is none yet. */
  entries: LogEntry[];
  /** Comes back for the next call. */
  position: FilePosition | null;
}

/**
 * The log of one instance: its files, each line numbered over all of them, and the newest lines in
 * memory. Opening it reads where the last daemon stopped.
 */
export class InstanceLog {
  private readonly ring: LogRing;
  private readonly listeners = new Set<(batch: LogBatch) => void>();
  private readonly files: LogFiles;
  private readonly cap: SizeCap;
  private live: LiveFile | null = null;
  private opening: Promise<void> | null = null;

  constructor(
    segments: readonly StoredSegment[],
    private readonly settings: LogSettings,
    private readonly records: LogRecords,
  ) {
    this.files = new LogFiles(segments, settings, records);
    this.cap = new SizeCap(settings, this.files, records);
    this.ring = new LogRing(settings.bufferSize);
    this.ring.restart(this.files.newest?.first_seq ?? 0);
  }

  /** Seq that the next line will have. */
  get nextSeq(): number {
    return this.ring.nextSeq;
  }

  /** Seq of the oldest line that can still be read. */
  get firstSeq(): number {
    return Math.min(this.files.oldest?.held_seq ?? this.ring.firstSeq, this.ring.firstSeq);
  }

  /** Where a replay begins for a client that asks for nothing special. */
  get replaySeq(): number {
    return Math.max(this.firstSeq, this.nextSeq - this.settings.bufferSize);
  }

  /**
   * Seq of the first line that was read at `time` or later; the next line's where there is none.
   * @param time milliseconds since 1970
   * @throws LogUnreadableError where that cannot be told now
   */
  seqAt(time: number): number {
    try {
      return this.files.firstSeqAt(time) ?? this.nextSeq;
    } catch (error) {
      throw new LogUnreadableError(error);
    }
  }

  /** What each start wrote, oldest first. @throws LogUnreadableError where that cannot be told now */
  get starts(): LogStart[] {
    try {
      return this.files.starts(this.nextSeq, this.live !== null);
    } catch (error) {
      throw new LogUnreadableError(error);
    }
  }

  get newestFile(): string | null {
    return this.files.newest?.file ?? null;
  }

  get fileNames(): string[] {
    return this.files.names;
  }

  /** The newest `count` lines, oldest first; none before the line `since`. */
  lastLines(count: number, since: number): string[] {
    const from = Math.max(this.ring.firstSeq, this.nextSeq - count, since);
    return this.ring.from(from, count).map((entry) => entry.line);
  }

  /**
   * Reads what the newest file already holds; safe to call again.
   * @throws LogUnreadableError where it cannot be read now; the next call tries again
   */
  open(): Promise<void> {
    this.opening ??= this.catchUp().catch((error: unknown) => {
      this.opening = null;
      throw new LogUnreadableError(error);
    });
    return this.opening;
  }

  /** Makes the file of a new start and records its first seq. The caller closes `fd`. */
  async begin(alias: string): Promise<{ path: string; fd: number }> {
    await this.open();
    await this.finish();
    const time = new Date();
    const file = createLogFile(this.settings.dir, alias, time);
    const segment: SegmentRecord = {
      file: file.path,
      first_seq: this.nextSeq,
      started_at: time.toISOString(),
      held_offset: 0,
      held_seq: this.nextSeq,
    };
    let index: TimeIndex | null = null;
    let live: LiveFile | null = null;
    try {
      index = TimeIndex.open(this.files.indexOf(segment));
      live = this.openLive(segment, index, { seq: this.nextSeq, offset: 0 });
      this.files.add(segment);
    } catch (error) {
      // There may be no descriptor left: what was opened is not kept open for a start that is none.
      live?.release();
      index?.close();
      closeSync(file.fd);
      for (const path of [file.path, this.files.indexOf(segment)]) rmSync(path, { force: true });
      throw inWords(error);
    }
    this.live = live;
    return file;
  }

  /** Follows the newest file from where it was read to. */
  follow(): void {
    this.live?.follow();
  }

  /** Leaves a line of the daemon's in the file that the server writes to. @throws where it cannot be written */
  note(text: string): void {
    if (this.live !== null) addNote(this.live.segment.file, text);
  }

  /** Reads what the newest file holds by now. */
  async settle(): Promise<void> {
    await this.live?.drain();
  }

  /** Reads the newest file to its end; what stands there without a line end is a line too. */
  async finish(): Promise<void> {
    const live = this.live;
    if (live === null) return;
    await live.drain();
    if (this.live !== live) return;
    live.flush();
    this.live = null;
    live.close();
  }

  /** Stops following, as it stands: for a daemon that ends while the server goes on. */
  close(): void {
    this.live?.close();
    this.live = null;
    this.listeners.clear();
  }

  /** Removes its files, for an instance that is deleted together with its log. */
  remove(): void {
    this.close();
    this.files.remove();
  }

  /** Calls `listener` with lines as they are read, in order; returns how to end that. */
  subscribe(listener: (batch: LogBatch) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  addReader(reader: LogReaderPosition): () => void {
    return this.files.addReader(reader);
  }

  /**
   * Lines from `seq` on: from memory, or from the file where they are older; at most about `limit`.
   * @throws LogUnreadableError where they are held but cannot be read now
   */
  read(seq: number, limit: number, position: FilePosition | null): HeldLines {
    const from = Math.max(seq, this.firstSeq);
    if (from >= this.ring.firstSeq) {
      this.files.dropPassed();
      return { from, entries: this.ring.from(from, limit), position: null };
    }
    const held = this.files.holding(from);
    if (held === null) return this.read(this.ring.firstSeq, limit, null);
    const { segment } = held;
    try {
      const read = readPast(segment, this.files.indexOf(segment), position, {
        from,
        end: held.end ?? this.nextSeq,
        descriptor: this.live?.segment === segment ? this.live.descriptor : null,
      });
      const first = read.entries[0];
      if (first !== undefined) return { ...read, from: first.seq };
    } catch (error) {
      if (!isMissing(error)) throw new LogUnreadableError(error);
      // The file was removed: its lines are gone, the next file's are not.
    }
    const next = Math.min(held.end ?? this.ring.firstSeq, this.ring.firstSeq);
    return this.read(Math.max(next, from + 1), limit, null);
  }

  private async catchUp(): Promise<void> {
    const segment = this.files.newest;
    if (segment === null) return;
    const index = TimeIndex.open(this.files.indexOf(segment));
    try {
      await this.catchUpWith(segment, index);
    } catch (error) {
      this.live?.release();
      this.live = null;
      index.close();
      throw error;
    }
  }

  private async catchUpWith(segment: SegmentRecord, index: TimeIndex): Promise<void> {
    const known = knownSeq(segment, index);
    const start = resumeAt(segment, index);
    if (start === "gone") {
      // Lines of a file that is gone keep their numbers, as far as its index tells how many they were.
      this.ring.restart(known);
      index.close();
      return;
    }
    if (start === "truncated") return this.readAnew(segment, index, known);
    this.ring.restart(start.seq);
    const live = this.openLive(segment, index, start);
    this.live = live;
    await live.catchUp();
    if (this.live !== live || this.nextSeq + live.unfinishedLines >= known) return;
    // Fewer lines than were read of it once, though it is no shorter: they are others.
    live.release();
    await this.readAnew(live.segment, index, known);
  }

  /** For a file that was truncated while no daemon was there. */
  private async readAnew(segment: SegmentRecord, index: TimeIndex, seq: number): Promise<void> {
    this.live = this.openLive(segment, index, { seq, offset: 0 });
    this.beginAnew(this.live, seq);
    await this.live.catchUp();
  }

  private openLive(segment: SegmentRecord, index: TimeIndex, from: { seq: number; offset: number }): LiveFile {
    return new LiveFile(segment, index, from.offset, from.seq, (live, event) => this.take(live, event));
  }

  private take(live: LiveFile, event: LiveFileEvent): void {
    if (event.type === "batch") {
      this.publish(event.batch);
      this.cap.enforce(live);
    } else if (event.type === "unreadable") {
      this.records.warn(`cannot read a log now, it is tried again: ${systemProblem(event.error, live.segment.file)}`);
    } else {
      // What had been read of a last line is all that there will be of it.
      live.flush();
      this.beginAnew(live, this.nextSeq);
    }
  }

  private beginAnew(live: LiveFile, seq: number): void {
    const { file } = live.segment;
    this.records.warn(`${file} was truncated by another program: it no longer holds the lines before ${seq}`);
    if (seq > this.nextSeq) this.ring.restart(seq);
    live.beginAnew(seq);
    try {
      this.files.replaceNewest(live.segment);
    } catch (error) {
      this.records.warn(`cannot record that ${file} was truncated: ${systemProblem(error)}`);
    }
  }

  private publish(batch: LogBatch): void {
    this.ring.append(batch);
    for (const listener of this.listeners) listener(batch);
  }
}
