import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { statfs } from "node:fs/promises";

/**
 * Whether the disk under the logs is full. A model server then goes on, and its lines are lost without an error.
 * So the daemon says that the disk is full, and leaves a note in each log where lines are missing.
 */

/** A file system that has less is full for a writer of lines. */
const FULL_BYTES = 64 * 1024;
/** With so much it has room again; more than the least, so that the message does not flap. */
const ROOM_BYTES = 2 * FULL_BYTES;

/** Bytes that this user may still write there. */
const freeBytesOf = async (dir: string): Promise<number> => {
  const { bavail, bfree, bsize } = await statfs(dir);
  return (process.getuid?.() === 0 ? bfree : bavail) * bsize;
};

export class LogDisk {
  private fullSince: Date | null = null;

  constructor(
    private readonly dir: string,
    private readonly freeBytes: (dir: string) => Promise<number> = freeBytesOf,
  ) {}

  /** For people; null where there is room. */
  get problem(): string | null {
    if (this.fullSince === null) return null;
    return `the disk of the logs (${this.dir}) is full since ${this.fullSince.toISOString()}: what the model server writes to its log now is lost. Make room there`;
  }

  /** Looks again. @returns what has changed: since when it is full, or had been; null where nothing has */
  async look(): Promise<{ isFull: boolean; since: Date } | null> {
    const free = await this.freeBytes(this.dir).catch(() => null);
    const since = this.fullSince;
    if (free === null) return null;
    if (since === null && free < FULL_BYTES) {
      this.fullSince = new Date();
      return { isFull: true, since: this.fullSince };
    }
    if (since === null || free < ROOM_BYTES) return null;
    this.fullSince = null;
    return { isFull: false, since };
  }
}

/** Adds a line to a log that its server goes on writing to, behind a line that may have been cut off. @throws where it cannot */
export const addNote = (path: string, note: string): void => {
  const fd = openSync(path, "a+");
  try {
    const { size } = fstatSync(fd);
    const last = Buffer.alloc(1);
    const isWhole = size === 0 || (readSync(fd, last, 0, 1, size - 1) === 1 && last[0] === 0x0a);
    writeSync(fd, `${isWhole ? "" : "\n"}${note}\n`);
  } finally {
    closeSync(fd);
  }
};
