import { closeSync, openSync, statSync, unlinkSync } from "node:fs";
import { createLogFile } from "./file-name.ts";
import { FileFollower } from "./follower.ts";
import { type LogEntry, LogRing } from "./ring.ts";
import { type FilePosition, indexPath, LineClock, positionFor, readSegment, type SegmentRecord } from "./segment.ts";
import { LineSplitter } from "./splitter.ts";
import { TimeIndex } from "./time-index.ts";
import { isMissing, LogUnreadableError } from "./unreadable.ts";

/** The part of the newest file that is read again when a daemon comes back, to know what the server was doing. */
const REPLAY_BYTES = 1024 * 1024;

export interface LogSettings {
  dir: string;
  indexDir: string;
  /** Lines in memory, and lines of a replay. */
  bufferSize: number;
  maxBytes: number;
  keepFiles: number;
  /** Frees the first bytes of an open file; false where the system cannot. */
  freeHead(fd: number, bytes: number): boolean;
}

export interface LogOwner {
  /** Makes the record of the files durable. Throws where it cannot. */
  saveSegments(segments: readonly SegmentRecord[]): void;
  /** Lines as they are read, in order; they share one timestamp. */
  onLines(lines: readonly string[], timestamp: string): void;
  warn(message: string): void;
}

/** Whoever reads the log at their own pace; its position keeps the cap from overtaking it early. */
export interface LogReaderPosition {
  readonly seq: number;
}

/** What is held of a log from a line on. */
export interface HeldLines {
  /** Seq of the first line held; higher than was asked for where those in between are not held any more. */
  from: number;
  /** Empty when there is none yet. */
  entries: LogEntry[];
  /** Comes back for the next call. */
  position: FilePosition | null;
}

interface Live {
  segment: SegmentRecord;
  follower: FileFollower;
  splitter: LineSplitter;
  index: TimeIndex;
}

/**
 * The log of one instance: its files, each line numbered over all of them, and the newest lines in
 * memory. Opening it reads where the last daemon stopped.
 */
export class InstanceLog {
  private readonly ring: LogRing;
  private readonly listeners = new Set<() => void>();
  private readonly readers = new Set<LogReaderPosition>();
  private readonly segments: SegmentRecord[];
  private live: Live | null = null;
  /** Set while the lines are read that were there before this daemon; knows when earlier ones were read. */
  private catchingUp: LineClock | null = null;
  private opening: Promise<void> | null = null;
  private canPunch = true;
  /** A file that would be gone, if nobody had been reading it at the last start. */
  private keptForReaders: SegmentRecord | null = null;

  constructor(
    segments: readonly SegmentRecord[],
    private readonly settings: LogSettings,
    private readonly owner: LogOwner,
  ) {
    this.segments = [...segments];
    this.ring = new LogRing(settings.bufferSize);
    this.ring.restart(this.segments.at(-1)?.first_seq ?? 0);
  }

  /** Seq that the next line will have. */
  get nextSeq(): number {
    return this.ring.nextSeq;
  }

  /** Seq of the oldest line that can still be read. */
  get firstSeq(): number {
    return Math.min(this.segments[0]?.held_seq ?? this.ring.firstSeq, this.ring.firstSeq);
  }

  /** Where a replay begins for a client that asks for nothing special. */
  get replaySeq(): number {
    return Math.max(this.firstSeq, this.nextSeq - this.settings.bufferSize);
  }

  get newestFile(): string | null {
    return this.segments.at(-1)?.file ?? null;
  }

  /** The newest `count` lines, oldest first. */
  lastLines(count: number): string[] {
    const from = Math.max(this.ring.firstSeq, this.nextSeq - count);
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
    try {
      const { kept, surplus } = this.within([...this.segments, segment]);
      this.keepOnly(kept);
      this.keptForReaders = surplus;
      this.live = this.openLive(segment, TimeIndex.open(indexPath(this.settings.indexDir, segment.file)), 0);
    } catch (error) {
      closeSync(file.fd);
      unlinkSync(file.path);
      throw error;
    }
    return file;
  }

  /** What stays of the files at a new start: one more than is kept otherwise, until the next start, where somebody reads it yet. */
  private within(segments: readonly SegmentRecord[]): {
    kept: readonly SegmentRecord[];
    surplus: SegmentRecord | null;
  } {
    const first = Math.max(0, segments.length - this.settings.keepFiles);
    const surplus = segments[first - 1];
    return surplus !== undefined && this.isReadBefore(segments[first]?.first_seq ?? 0)
      ? { kept: segments.slice(first - 1), surplus }
      : { kept: segments.slice(first), surplus: null };
  }

  private isReadBefore(seq: number): boolean {
    return [...this.readers].some((reader) => reader.seq < seq);
  }

  private keepOnly(kept: readonly SegmentRecord[]): void {
    const dropped = this.segments.filter((old) => !kept.includes(old));
    this.owner.saveSegments(kept);
    this.segments.splice(0, this.segments.length, ...kept);
    for (const old of dropped) this.deleteFiles(old);
  }

  /** Lets the file go that was kept for readers, once they have passed it. */
  private dropPassed(): void {
    const surplus = this.keptForReaders;
    if (surplus === null) return;
    const rest = this.segments.filter((segment) => segment !== surplus);
    if (this.isReadBefore(rest[0]?.first_seq ?? this.nextSeq)) return;
    this.keptForReaders = null;
    try {
      this.keepOnly(rest);
    } catch (error) {
      // The next start drops it.
      this.owner.warn(`cannot drop ${surplus.file}: ${String(error)}`);
    }
  }

  /** Follows the newest file from where it was read to. */
  follow(): void {
    this.live?.follower.start();
  }

  /** Reads what the newest file holds by now. */
  async settle(): Promise<void> {
    await this.live?.follower.drain();
  }

  /** Reads the newest file to its end; what stands there without a line end is a line too. */
  async finish(): Promise<void> {
    const live = this.live;
    if (live === null) return;
    await live.follower.drain();
    if (this.live !== live) return;
    this.take(live, live.splitter.flush());
    this.live = null;
    live.follower.close();
    live.index.close();
  }

  /** Stops following, as it stands: for a daemon that ends while the server goes on. */
  close(): void {
    this.live?.follower.close();
    this.live?.index.close();
    this.live = null;
    this.listeners.clear();
  }

  /** For an instance that is deleted: the log files stay for people, what was kept of them for this program goes. */
  forget(): void {
    this.close();
    for (const segment of this.segments) this.deleteFile(indexPath(this.settings.indexDir, segment.file));
  }

  /** Calls `listener` after new lines came; returns how to end that. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  addReader(reader: LogReaderPosition): () => void {
    this.readers.add(reader);
    return () => {
      this.readers.delete(reader);
      this.dropPassed();
    };
  }

  /**
   * Lines from `seq` on: from memory, or from the file where they are older; at most about `limit`.
   * @throws LogUnreadableError where they are held but cannot be read now
   */
  read(seq: number, limit: number, position: FilePosition | null): HeldLines {
    const from = Math.max(seq, this.firstSeq);
    if (from >= this.ring.firstSeq) {
      this.dropPassed();
      return { from, entries: this.ring.from(from, limit), position: null };
    }
    const at = this.segments.findLastIndex((segment) => segment.first_seq <= from);
    const segment = this.segments[at];
    if (segment === undefined) return this.read(this.ring.firstSeq, limit, null);
    try {
      const read = this.readFile(segment, at, from, position);
      const first = read.entries[0];
      if (first !== undefined) return { ...read, from: first.seq };
    } catch (error) {
      if (!isMissing(error)) throw new LogUnreadableError(error);
      // The file was removed by somebody: its lines are gone, the next one's are not.
    }
    const next = Math.min(this.segments[at + 1]?.first_seq ?? this.ring.firstSeq, this.ring.firstSeq);
    return this.read(Math.max(next, from + 1), limit, null);
  }

  private readFile(
    segment: SegmentRecord,
    at: number,
    from: number,
    position: FilePosition | null,
  ): { entries: LogEntry[]; position: FilePosition } {
    const live = this.live?.segment === segment ? this.live : null;
    const index = TimeIndex.openExisting(indexPath(this.settings.indexDir, segment.file));
    try {
      const resumable =
        position?.segment === segment && position.seq === from && position.offset >= segment.held_offset;
      const start = resumable ? position : positionFor(segment, index, from);
      return readSegment({ path: segment.file, descriptor: live?.follower.descriptor ?? null }, index, start, {
        from,
        end: this.segments[at + 1]?.first_seq ?? this.nextSeq,
        ended: live === null,
        fallbackTime: Date.parse(segment.started_at),
      });
    } finally {
      index?.close();
    }
  }

  private async catchUp(): Promise<void> {
    const segment = this.segments.at(-1);
    if (segment === undefined) return;
    const index = TimeIndex.open(indexPath(this.settings.indexDir, segment.file));
    try {
      await this.catchUpWith(segment, index);
    } catch (error) {
      this.catchingUp = null;
      this.live?.follower.close();
      this.live = null;
      index.close();
      throw error;
    }
  }

  private async catchUpWith(segment: SegmentRecord, index: TimeIndex): Promise<void> {
    const known = Math.max(segment.held_seq, index.last?.seq ?? 0);
    const size = statSync(segment.file, { throwIfNoEntry: false })?.size;
    if (size === undefined) {
      // Lines of a file that is gone keep their numbers, as far as its index tells how many they were.
      this.ring.restart(known);
      index.close();
      return;
    }
    if (size < Math.max(segment.held_offset, index.last?.offset ?? 0)) return this.readAnew(segment, index, known);
    const start = replayStart(segment, index, size);
    this.ring.restart(start.seq);
    const live = this.openLive(segment, index, start.offset);
    await this.readAgain(live);
    const reached = this.nextSeq + (live.splitter.unfinishedBytes > 0 ? 1 : 0);
    if (this.live !== live || reached >= known) return;
    // Fewer lines than were read of it once, though it is no shorter: they are others.
    live.follower.close();
    await this.readAnew(live.segment, index, known);
  }

  private async readAgain(live: Live): Promise<void> {
    this.live = live;
    this.catchingUp = this.clockOf(live);
    await live.follower.drain();
    this.catchingUp = null;
  }

  /** For a file that was truncated while no daemon was there. */
  private async readAnew(segment: SegmentRecord, index: TimeIndex, seq: number): Promise<void> {
    const live = this.openLive(segment, index, 0);
    this.beginAnew(live, seq);
    await this.readAgain(live);
  }

  private openLive(segment: SegmentRecord, index: TimeIndex, offset: number): Live {
    const follower = new FileFollower(
      segment.file,
      offset,
      (chunk) => {
        this.take(live, live.splitter.push(chunk));
        this.enforceCap(live);
      },
      {
        onTruncated: () => {
          // What had been read of a last line is all that there will be of it.
          this.take(live, live.splitter.flush());
          this.beginAnew(live, this.nextSeq);
        },
      },
    );
    const live: Live = { segment, index, splitter: new LineSplitter(offset), follower };
    return live;
  }

  /** Somebody truncated the file: what stands in it now are other lines than those before `seq`. */
  private beginAnew(live: Live, seq: number): void {
    const { file } = live.segment;
    this.owner.warn(`${file} was truncated by another program: it no longer holds the lines before ${seq}`);
    live.segment = { ...live.segment, first_seq: seq, held_offset: 0, held_seq: seq };
    live.splitter = new LineSplitter(0);
    this.segments.splice(-1, 1, live.segment);
    if (seq > this.nextSeq) this.ring.restart(seq);
    const time = Math.max(live.follower.modified.getTime(), live.index.last?.time ?? 0);
    try {
      this.owner.saveSegments(this.segments);
      live.index.restart({ seq, offset: 0, time });
    } catch (error) {
      this.owner.warn(`cannot record that ${file} was truncated: ${String(error)}`);
    }
  }

  private clockOf({ index, segment }: Live): LineClock {
    return new LineClock(index, Date.parse(segment.started_at));
  }

  /** Numbers, times and publishes lines that end where the splitter stands. */
  private take(live: Live, lines: string[]): void {
    if (lines.length === 0) return;
    const knownLines = Math.min(lines.length, Math.max(0, (live.index.last?.seq ?? 0) - this.nextSeq));
    // A last line without an end, too, may have been read by an earlier daemon already.
    const clock = this.catchingUp ?? (knownLines === 0 ? null : this.clockOf(live));
    if (clock !== null) {
      for (const line of lines.slice(0, knownLines)) this.publish([line], clock.timeOf(this.nextSeq));
    }
    const fresh = clock === null || knownLines === 0 ? lines : lines.slice(knownLines);
    if (fresh.length === 0) return;
    // What came while no daemon read it: the file's own time tells best when.
    const written = clock === null ? Date.now() : live.follower.modified.getTime();
    const time = Math.max(written, live.index.last?.time ?? 0);
    live.index.append({ seq: this.nextSeq + fresh.length, offset: live.splitter.nextLineOffset, time });
    this.publish(fresh, new Date(time).toISOString());
  }

  private publish(lines: readonly string[], timestamp: string): void {
    this.ring.append(lines, timestamp);
    this.owner.onLines(lines, timestamp);
    for (const listener of this.listeners) listener();
  }

  /** Gives the head of a file that is over its cap back to the file system. */
  private enforceCap(live: Live): void {
    const { maxBytes } = this.settings;
    const end = live.splitter.nextLineOffset;
    const held = end - live.segment.held_offset;
    if (!this.canPunch || held <= maxBytes + maxBytes / 4) return;
    let entry = live.index.beforeOffset(end - maxBytes);
    if (entry !== null && held < 2 * maxBytes) {
      // Whoever is reading there gets some more room before the lines go.
      const slowest = Math.min(...[...this.readers].map((reader) => reader.seq));
      if (slowest < entry.seq) entry = live.index.before(slowest);
    }
    if (entry === null || entry.offset <= live.segment.held_offset) return;
    live.segment.held_offset = entry.offset;
    live.segment.held_seq = entry.seq;
    try {
      this.owner.saveSegments(this.segments);
      this.canPunch =
        this.freeHead(live.segment.file, entry.offset) &&
        this.freeHead(indexPath(this.settings.indexDir, live.segment.file), live.index.bytesBefore(entry.seq));
      if (!this.canPunch)
        this.owner.warn(`${live.segment.file} grows over its cap: the file system cannot free its head`);
    } catch (error) {
      this.owner.warn(`cannot cap ${live.segment.file}: ${String(error)}`);
    }
  }

  private freeHead(path: string, bytes: number): boolean {
    const fd = openSync(path, "r+");
    try {
      return this.settings.freeHead(fd, bytes);
    } finally {
      closeSync(fd);
    }
  }

  private deleteFiles(segment: SegmentRecord): void {
    for (const path of [segment.file, indexPath(this.settings.indexDir, segment.file)]) this.deleteFile(path);
  }

  private deleteFile(path: string): void {
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        this.owner.warn(`cannot delete ${path}: ${String(error)}`);
    }
  }
}

/** Where to begin reading the newest file again. */
const replayStart = (segment: SegmentRecord, index: TimeIndex, size: number): FilePosition => {
  const entry = index.beforeOffset(Math.max(segment.held_offset, size - REPLAY_BYTES));
  return entry === null || entry.offset < segment.held_offset || entry.seq < segment.held_seq
    ? { segment, seq: segment.held_seq, offset: segment.held_offset }
    : { segment, seq: entry.seq, offset: entry.offset };
};
