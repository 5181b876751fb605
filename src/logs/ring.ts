/** The newest lines of a log in memory: a cache of the end of its file, bounded in lines and in bytes. */

/** Long lines must not turn a thousand of them into gigabytes. In UTF-16 units, about bytes. */
const MAX_UNITS = 32 * 1024 * 1024;

/** Lines that were read at one time, as they go from the file to the ring and to subscribers. */
export interface LogBatch {
  /** Number of the first line; the others count on from it. */
  seq: number;
  lines: readonly string[];
  /** RFC 3339, UTC. */
  timestamp: string;
}

export interface LogEntry {
  seq: number;
  /** RFC 3339, UTC. */
  timestamp: string;
  line: string;
  /** The line as a WebSocket frame, made once however many subscribers there are. */
  frame?: string;
}

/** A line as the JSON text that goes over the wire, fields in the contract's order. */
export const frameOf = (entry: LogEntry): string => {
  entry.frame ??= `{"seq":${entry.seq},"timestamp":"${entry.timestamp}","line":${JSON.stringify(entry.line)}}`;
  return entry.frame;
};

export class LogRing {
  private readonly slots: (LogEntry | undefined)[];
  private first = 0;
  private next = 0;
  private units = 0;

  constructor(private readonly capacity: number) {
    this.slots = new Array<LogEntry | undefined>(capacity);
  }

  /** Seq of the oldest line held; equals {@link nextSeq} when empty. */
  get firstSeq(): number {
    return this.first;
  }

  get nextSeq(): number {
    return this.next;
  }

  /** Forgets everything; the next line is `seq`. */
  restart(seq: number): void {
    this.slots.fill(undefined);
    this.first = seq;
    this.next = seq;
    this.units = 0;
  }

  /** @param batch goes on where the last one ended */
  append({ seq, lines, timestamp }: LogBatch): void {
    const skipped = Math.max(0, lines.length - this.capacity);
    if (skipped > 0) this.restart(seq + skipped);
    for (const line of skipped > 0 ? lines.slice(skipped) : lines) {
      if (this.next - this.first === this.capacity) this.dropOldest();
      this.slots[this.next % this.capacity] = { seq: this.next, timestamp, line };
      this.next += 1;
      this.units += line.length;
      while (this.units > MAX_UNITS && this.first < this.next) this.dropOldest();
    }
  }

  /** Lines from `seq` on, `limit` at the most; `seq` must be held. */
  from(seq: number, limit: number): LogEntry[] {
    const end = Math.min(this.next, seq + limit);
    const entries: LogEntry[] = [];
    for (let at = seq; at < end; at++) {
      const entry = this.slots[at % this.capacity];
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  private dropOldest(): void {
    const slot = this.first % this.capacity;
    this.units -= this.slots[slot]?.line.length ?? 0;
    this.slots[slot] = undefined;
    this.first += 1;
  }
}
