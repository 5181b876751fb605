import { closeSync, openSync } from "node:fs";
import { systemProblem } from "../common/system-error.ts";
import type { LiveFile } from "./live-file.ts";
import type { LogFiles } from "./log-files.ts";
import type { LogRecords, LogSettings } from "./log-settings.ts";

/** Keeps the newest file within its size while its writer goes on: the blocks of its head go back to the file system. */
export class SizeCap {
  private canFree = true;
  /** Whether a failure was reported already: it is reported once, until freeing works again. */
  private told = false;
  /** Where it could not be done: not before the file has grown to that offset is it tried again. */
  private failed: { file: string; again: number } | null = null;

  constructor(
    private readonly settings: Pick<LogSettings, "maxBytes" | "freeHead">,
    private readonly files: LogFiles,
    private readonly records: Pick<LogRecords, "warn">,
  ) {}

  enforce({ segment, index, nextLineOffset: end }: LiveFile): void {
    const { maxBytes } = this.settings;
    const held = end - segment.held_offset;
    if (!this.canFree || held <= maxBytes + maxBytes / 4 || this.isTooSoon(segment.file, end)) return;
    let entry = index.beforeOffset(end - maxBytes);
    if (entry !== null && held < 2 * maxBytes) {
      // A reader that stands there gets some more room before the lines go.
      const slowest = this.files.slowestReader;
      if (slowest < entry.seq) entry = index.before(slowest);
    }
    if (entry === null || entry.offset <= segment.held_offset) return;
    const { held_offset, held_seq } = segment;
    let isFreed = false;
    try {
      // Recorded before it is done: a daemon that dies in between must not take a hole for lines.
      Object.assign(segment, { held_offset: entry.offset, held_seq: entry.seq });
      this.files.save();
      isFreed = this.freeHead(segment.file, entry.offset);
      this.canFree = isFreed;
      if (isFreed) this.freeHead(this.files.indexOf(segment), index.bytesBefore(entry.seq));
      else this.records.warn(`${segment.file} grows over its cap: the file system cannot free its head`);
      this.told = false;
    } catch (error) {
      if (!this.told) this.records.warn(`cannot cap a log: ${systemProblem(error, segment.file)}`);
      this.told = true;
    }
    this.failed = null;
    if (isFreed) return;
    // Not at each line that comes: what is in the way stays so for a while.
    this.failed = { file: segment.file, again: end + maxBytes / 4 };
    // What was not freed is still held.
    Object.assign(segment, { held_offset, held_seq });
    try {
      this.files.save();
    } catch {
      // The record says that some lines are gone which are there; the next one that can be written says otherwise.
    }
  }

  private isTooSoon(file: string, end: number): boolean {
    return this.failed?.file === file && end < this.failed.again;
  }

  private freeHead(path: string, bytes: number): boolean {
    const fd = openSync(path, "r+");
    try {
      return this.settings.freeHead(fd, bytes);
    } finally {
      closeSync(fd);
    }
  }
}
