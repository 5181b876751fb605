import type { InstanceLog } from "./instance-log.ts";
import type { LogEntry } from "./ring.ts";
import type { FilePosition } from "./segment.ts";

/** What a client asks to see of a log; see {@link firstSeqFor}. */
export interface LogRange {
  /** Only lines with a higher seq. */
  after: number | null;
  /** Only the last so many of what there is now. */
  tail: number | null;
}

/** Seq of the first line for a range; with neither bound, the replay that every client gets. */
export const firstSeqFor = (log: Pick<InstanceLog, "nextSeq" | "replaySeq" | "firstSeq">, range: LogRange): number => {
  if (range.after === null && range.tail === null) return log.replaySeq;
  const resumed = range.after === null ? log.firstSeq : range.after + 1;
  return range.tail === null ? resumed : Math.max(resumed, log.nextSeq - range.tail, 0);
};

/** A range that may have bounds in time too, in milliseconds since 1970. */
export interface LogSpan extends LogRange {
  /** Only lines that were read then or later. */
  since?: number | null;
  /** Only lines that were read before that. */
  until?: number | null;
}

/** First line of a span, and the line behind its last. @throws LogUnreadableError */
const boundsOf = (
  log: InstanceLog,
  { after, tail, since = null, until = null }: LogSpan,
): { from: number; end: number } => {
  if (since === null && until === null)
    return { from: firstSeqFor(log, { after, tail }), end: Number.POSITIVE_INFINITY };
  const from = Math.max(after === null ? log.firstSeq : after + 1, since === null ? 0 : log.seqAt(since));
  const end = until === null ? log.nextSeq : log.seqAt(until);
  return { from: tail === null ? from : Math.max(from, end - tail), end };
};

export interface LogRead {
  /** Lines that should stand before the entries, or before those to come, but are no longer held; both ends included. */
  gap: { from: number; to: number } | null;
  entries: LogEntry[];
}

/** One reader's own position in a log. It never holds the log up and costs no memory while it waits. */
export class LogCursor {
  private position: FilePosition | null = null;

  constructor(
    private readonly log: InstanceLog,
    /** Seq of the line that comes next. */
    public seq: number,
  ) {}

  /**
   * The next lines, in order; none when it has caught up.
   * @throws LogUnreadableError where they cannot be read now; it stands where it stood then
   */
  next(limit: number): LogRead {
    const { from, entries, position } = this.log.read(this.seq, limit, this.position);
    // Told at once: the next line may be long in coming.
    const gap = from > this.seq ? { from: this.seq, to: from - 1 } : null;
    this.seq = (entries.at(-1)?.seq ?? from - 1) + 1;
    this.position = position;
    return { gap, entries };
  }
}

/** A page of very long lines ends early; in UTF-16 units, about bytes. */
const MAX_PAGE_UNITS = 32 * 1024 * 1024;

/**
 * One page of a log for a reader that comes once: at most `limit` lines, fewer where they are very long.
 * @throws LogUnreadableError where they cannot be read now
 */
export const readPage = (log: InstanceLog, span: LogSpan, limit: number): LogEntry[] => {
  const { from, end } = boundsOf(log, span);
  const cursor = new LogCursor(log, from);
  const page: LogEntry[] = [];
  let units = 0;
  while (page.length < limit && units < MAX_PAGE_UNITS && cursor.seq < end) {
    const { entries } = cursor.next(limit - page.length);
    if (entries.length === 0) break;
    for (const entry of entries.slice(0, limit - page.length)) {
      if (units >= MAX_PAGE_UNITS || entry.seq >= end) return page;
      page.push(entry);
      units += entry.line.length;
    }
  }
  return page;
};
