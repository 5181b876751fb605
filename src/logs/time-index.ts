import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { isMissing } from "../common/system-error.ts";

/**
 * The companion of a log file: how far it had been read, and when. So a line has the same timestamp
 * from memory and from the file, over restarts of the daemon too; line n is found without reading
 * the n lines before it; and a daemon that comes back knows which lines were not read.
 *
 * Records of 24 bytes, in order: seq, offset, milliseconds since 1970; each a little-endian double.
 */

const RECORD_BYTES = 24;

export interface IndexEntry {
  /** Lines before this one had been read by `time`, those after the entry before it at `time`. */
  seq: number;
  /** Byte of the log file at which line `seq` begins. */
  offset: number;
  /** Milliseconds since 1970. */
  time: number;
}

const decode = (bytes: Buffer, at: number): IndexEntry => ({
  seq: bytes.readDoubleLE(at),
  offset: bytes.readDoubleLE(at + 8),
  time: bytes.readDoubleLE(at + 16),
});

export class TimeIndex {
  private constructor(
    private readonly fd: number,
    private count: number,
    private newest: IndexEntry | null,
  ) {}

  /** Opens or begins the index of a log file. A record that was cut off by a crash is dropped. */
  static open(path: string): TimeIndex {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, "a+", 0o600);
    const size = fstatSync(fd).size;
    const count = Math.floor(size / RECORD_BYTES);
    if (size !== count * RECORD_BYTES) ftruncateSync(fd, count * RECORD_BYTES);
    const index = new TimeIndex(fd, count, null);
    index.newest = count === 0 ? null : index.at(count - 1);
    return index;
  }

  /**
   * For reading alone; null where there is none.
   * @throws where there is one that cannot be opened
   */
  static openExisting(path: string): TimeIndex | null {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
    return new TimeIndex(fd, Math.floor(fstatSync(fd).size / RECORD_BYTES), null);
  }

  get last(): IndexEntry | null {
    return this.newest;
  }

  /**
   * An entry that cannot be written (the disk is full) is left out: its lines then count as read with
   * the next ones, while the log itself goes on.
   */
  append(entry: IndexEntry): void {
    const bytes = Buffer.allocUnsafe(RECORD_BYTES);
    bytes.writeDoubleLE(entry.seq, 0);
    bytes.writeDoubleLE(entry.offset, 8);
    bytes.writeDoubleLE(entry.time, 16);
    if (!this.writeWhole(bytes)) return;
    this.count += 1;
    this.newest = entry;
  }

  /** Forgets all entries but this one: the log file begins anew. */
  restart(entry: IndexEntry): void {
    ftruncateSync(this.fd, 0);
    this.count = 0;
    this.newest = null;
    this.append(entry);
  }

  /** The last entry at or before line `seq`; null where the index begins later. */
  before(seq: number): IndexEntry | null {
    return this.lastWhere((entry) => entry.seq <= seq);
  }

  /** The last entry at or before byte `offset`. */
  beforeOffset(offset: number): IndexEntry | null {
    return this.lastWhere((entry) => entry.offset <= offset);
  }

  /** Entries of later lines than `seq`, in order, `limit` at the most. */
  after(seq: number, limit: number): IndexEntry[] {
    const first = this.countWhere((entry) => entry.seq <= seq);
    const wanted = Math.min(limit, this.count - first);
    if (wanted <= 0) return [];
    const bytes = Buffer.allocUnsafe(wanted * RECORD_BYTES);
    const read = readSync(this.fd, bytes, 0, bytes.length, first * RECORD_BYTES);
    return Array.from({ length: Math.floor(read / RECORD_BYTES) }, (_, i) => decode(bytes, i * RECORD_BYTES));
  }

  /** The first line that was read at `time` or later, by entries alone: null where all are earlier, 0 where all are later. */
  firstSeqAt(time: number): number | null {
    const earlier = this.countWhere((entry) => entry.time < time);
    if (earlier === this.count) return null;
    return earlier === 0 ? 0 : this.at(earlier - 1).seq;
  }

  /** When lines were read last, milliseconds since 1970; null where none were. */
  get newestTime(): number | null {
    return this.count === 0 ? null : this.at(this.count - 1).time;
  }

  /** Bytes of the records that end before line `seq`. */
  bytesBefore(seq: number): number {
    return this.countWhere((entry) => entry.seq < seq) * RECORD_BYTES;
  }

  close(): void {
    closeSync(this.fd);
  }

  private writeWhole(record: Buffer): boolean {
    try {
      if (writeSync(this.fd, record) === RECORD_BYTES) return true;
    } catch {
      // Nothing was written then.
    }
    ftruncateSync(this.fd, this.count * RECORD_BYTES);
    return false;
  }

  private at(index: number): IndexEntry {
    const bytes = Buffer.alloc(RECORD_BYTES);
    readSync(this.fd, bytes, 0, RECORD_BYTES, index * RECORD_BYTES);
    return decode(bytes, 0);
  }

  private lastWhere(holds: (entry: IndexEntry) => boolean): IndexEntry | null {
    const count = this.countWhere(holds);
    return count === 0 ? null : this.at(count - 1);
  }

  /** How many entries, from the first on, hold; they are in order, so halving finds it. */
  private countWhere(holds: (entry: IndexEntry) => boolean): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(this.at(middle))) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
