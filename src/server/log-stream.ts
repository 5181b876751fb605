import type { ServerWebSocket } from "bun";
import { firstSeqFor, LogCursor, type LogRange } from "../logs/cursor.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { frameOf, type LogEntry } from "../logs/ring.ts";
import { LogUnreadableError } from "../logs/unreadable.ts";

/**
 * One subscriber of a log. It reads at its own pace from its own position; what it has not taken
 * yet stays in the file and not in memory.
 */

/** Frames sent in one turn before others get theirs. */
const TURN_FRAMES = 2000;
const READ_LINES = 512;
/** After which lines that could not be read are tried again. */
const RETRY_MS = 500;

type Socket = Pick<ServerWebSocket<unknown>, "send" | "cork">;

export class LogStream {
  private readonly cursor: LogCursor;
  private readonly announcesGaps: boolean;
  private readonly endings: (() => void)[];
  private backlog: LogEntry[] = [];
  private sent = 0;
  private full = false;
  private scheduled = false;
  private retry: Timer | null = null;
  private closed = false;

  constructor(
    private readonly socket: Socket,
    log: InstanceLog,
    range: LogRange,
  ) {
    this.cursor = new LogCursor(log, firstSeqFor(log, range));
    // Clients that ask for nothing special know of no gap frames.
    this.announcesGaps = range.after !== null || range.tail !== null;
    this.endings = [log.subscribe(() => this.pump()), log.addReader(this.cursor)];
    this.pump();
  }

  /** The socket can take more. */
  drained(): void {
    this.full = false;
    this.pump();
  }

  close(): void {
    this.closed = true;
    if (this.retry !== null) clearTimeout(this.retry);
    for (const end of this.endings) end();
  }

  private pump(): void {
    if (this.closed || this.full || this.scheduled || this.retry !== null) return;
    let more = false;
    this.socket.cork(() => {
      more = this.sendOrRetry();
    });
    if (!more) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  /** Lines that cannot be read now are not gone: too many files may be open, say. Nothing else is held up by them. */
  private sendOrRetry(): boolean {
    try {
      return this.sendSome(TURN_FRAMES);
    } catch (error) {
      if (!(error instanceof LogUnreadableError)) throw error;
      this.retry = setTimeout(() => {
        this.retry = null;
        this.pump();
      }, RETRY_MS);
      return false;
    }
  }

  /** True when there is more to send and room for it. */
  private sendSome(limit: number): boolean {
    for (let count = 0; count < limit; count++) {
      const entry = this.backlog[this.sent] ?? this.refill();
      if (entry === undefined) return false;
      if (!this.send(frameOf(entry))) return false;
    }
    return true;
  }

  private refill(): LogEntry | undefined {
    const { gap, entries } = this.cursor.next(READ_LINES);
    this.backlog = entries;
    this.sent = 0;
    if (gap !== null && this.announcesGaps) this.socket.send(JSON.stringify({ type: "gap", ...gap }));
    return entries[0];
  }

  /** Bun gives -1 for a frame that it keeps until the socket drains, and 0 for one that it dropped. */
  private send(frame: string): boolean {
    const status = this.socket.send(frame);
    if (status !== 0) this.sent += 1;
    if (status > 0) return true;
    this.full = true;
    return false;
  }
}
