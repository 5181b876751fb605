/**
 * Bytes to lines. A line ends at `\n`, `\r\n` or a bare `\r` (a progress bar's updates are lines of
 * their own), so the n-th line of a file is the same whatever the chunks it was read in.
 */

/** A line of this many bytes is ended by force, so that a stream without line ends has bounded cost. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);

const decodeLines = (bytes: Buffer): string[] => {
  const text = bytes.toString("utf8");
  const lines = (text.includes("\r") ? text.replaceAll("\r\n", "\n").replaceAll("\r", "\n") : text).split("\n");
  // What stands behind the last line end is nothing: bytes end with one.
  lines.pop();
  return lines;
};

/** End (exclusive) of the last whole line in `bytes`; 0 where there is none. A `\r` at the very end may yet become `\r\n`. */
const endOfLastLine = (bytes: Buffer): number => {
  const lf = bytes.lastIndexOf(LF);
  const cr = bytes.length < 2 ? -1 : bytes.lastIndexOf(CR, bytes.length - 2);
  return Math.max(lf, cr) + 1;
};

export class LineSplitter {
  private pending: Buffer[] = [];
  private pendingBytes = 0;

  /** `offset` is where the first line begins in its file. */
  constructor(
    private offset: number,
    private readonly maxLineBytes: number = MAX_LINE_BYTES,
  ) {}

  /** Where the first line that was not given out yet begins. */
  get nextLineOffset(): number {
    return this.offset;
  }

  /** Bytes taken in that do not make a whole line yet. */
  get unfinishedBytes(): number {
    return this.pendingBytes;
  }

  /** Takes the bytes that follow those taken so far; gives the lines that they complete. The chunk may be reused. */
  push(chunk: Buffer): string[] {
    // A carriage return that ended the last chunk is decided by this one.
    const last = this.pending.at(-1);
    const joined = last !== undefined && last[last.length - 1] === CR ? this.takePending(chunk) : chunk;
    const end = endOfLastLine(joined);
    const lines = end === 0 ? [] : this.wholeLines(this.takePending(joined.subarray(0, end)));
    this.keep(joined.subarray(end));
    if (this.pendingBytes < this.maxLineBytes) return lines;
    return [...lines, ...this.cutLong(this.takePending(EMPTY), false)];
  }

  /** The last line of a file that will not grow any more, where it has no line end. */
  flush(): string[] {
    if (this.pendingBytes === 0) return [];
    const bytes = this.takePending(EMPTY);
    this.offset += bytes.length;
    const ended = bytes[bytes.length - 1] === CR;
    return [bytes.toString("utf8", 0, ended ? bytes.length - 1 : bytes.length)];
  }

  private wholeLines(bytes: Buffer): string[] {
    if (bytes.length > this.maxLineBytes) return this.cutLong(bytes, true);
    this.offset += bytes.length;
    return decodeLines(bytes);
  }

  private keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.pending.push(Buffer.from(bytes));
    this.pendingBytes += bytes.length;
  }

  private takePending(tail: Buffer): Buffer {
    if (this.pendingBytes === 0) return tail;
    const bytes = Buffer.concat([...this.pending, tail]);
    this.pending = [];
    this.pendingBytes = 0;
    return bytes;
  }

  /** Line by line, since one of them is too long. Without `ended`, what is left at the end is kept. */
  private cutLong(bytes: Buffer, ended: boolean): string[] {
    const lines: string[] = [];
    let start = 0;
    while (start < bytes.length) {
      const lf = bytes.indexOf(LF, start);
      const cr = bytes.indexOf(CR, start);
      const end = lf === -1 ? cr : cr === -1 ? lf : Math.min(lf, cr);
      const stop = end === -1 ? bytes.length : end;
      if (stop - start >= this.maxLineBytes) {
        lines.push(bytes.toString("utf8", start, start + this.maxLineBytes));
        start += this.maxLineBytes;
        continue;
      }
      // The next chunk tells where this line ends, or whether the `\r` at the very end becomes `\r\n`.
      if (!ended && (end === -1 || (bytes[end] === CR && end === bytes.length - 1))) break;
      lines.push(bytes.toString("utf8", start, stop));
      start = stop + (bytes[stop] === CR && bytes[stop + 1] === LF ? 2 : 1);
    }
    this.offset += Math.min(start, bytes.length);
    this.keep(bytes.subarray(Math.min(start, bytes.length)));
    return lines;
  }
}
