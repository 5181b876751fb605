import { closeSync, openSync } from "node:fs";
import type { LiveFile } from "./live-file.ts";
import type { LogFiles } from "./log-files.ts";
import type { LogOwner, LogSettings } from "./log-owner.ts";

/** Keeps the newest file within its size while its writer goes on: the blocks of its head go back to the file system. */
export class SizeCap {
  private canFree = true;

  constructor(
    private readonly settings: Pick<LogSettings, "maxBytes" | "freeHead">,
    private readonly files: LogFiles,
    private readonly owner: Pick<LogOwner, "warn">,
  ) {}

  enforce({ segment, index, nextLineOffset: end }: LiveFile): void {
    const { maxBytes } = this.settings;
    const held = end - segment.held_offset;
    if (!this.canFree || held <= maxBytes + maxBytes / 4) return;
    let entry = index.beforeOffset(end - maxBytes);
    if (entry !== null && held < 2 * maxBytes) {
      // Whoever is reading there gets some more room before the lines go.
      const slowest = this.files.slowestReader;
      if (slowest < entry.seq) entry = index.before(slowest);
    }
    if (entry === null || entry.offset <= segment.held_offset) return;
    segment.held_offset = entry.offset;
    segment.held_seq = entry.seq;
    try {
      this.files.save();
      this.canFree =
        this.freeHead(segment.file, entry.offset) &&
        this.freeHead(this.files.indexOf(segment), index.bytesBefore(entry.seq));
      if (!this.canFree) this.owner.warn(`${segment.file} grows over its cap: the file system cannot free its head`);
    } catch (error) {
      this.owner.warn(`cannot cap ${segment.file}: ${String(error)}`);
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
}
