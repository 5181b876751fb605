import { statSync } from "node:fs";
import { backupPath, replaceFile } from "./atomic-file.ts";
import { withKept } from "./kept-keys.ts";
import { entryOf, type StoredInstance } from "./stored-instance.ts";

/** Saves `config.json` without losing what an earlier load could not read. load-config.ts loads it. */

/** It holds the keys of the instances. */
export const CONFIG_MODE = 0o600;

/** What a save keeps of the file besides the instances. */
export interface KeptContent {
  /** Keys at the top that are not ours. */
  top: Readonly<Record<string, unknown>>;
  /** Entries that could not be understood, as they stand in the file; they are saved again as they are. */
  unreadable: readonly unknown[];
}

/** Writes the file, one write at a time; what is asked for during a write goes into the next one together. */
export class ConfigFile {
  private current: Promise<void> | null = null;
  private next: Promise<void> | null = null;
  /** What this daemon has written last, and into which files; null where it has written nothing, or a write failed. */
  private written: { text: string; files: string } | null = null;

  constructor(
    readonly path: string,
    private readonly kept: KeptContent,
    private readonly snapshot: () => StoredInstance[],
  ) {}

  /** Resolves when what is true now is on the disk. */
  save(): Promise<void> {
    // It has not looked at what is true yet, and two writes never go on at once.
    if (this.next !== null) return this.next;
    if (this.current === null) return this.begin();
    this.next = this.current
      // The caller of the save that failed takes its change back first: else the next save would write it.
      .catch(() => new Promise<void>((resolve) => setImmediate(resolve)))
      .then(() => {
        this.next = null;
        return this.begin();
      });
    return this.next;
  }

  private begin(): Promise<void> {
    this.current = this.write().finally(() => {
      this.current = null;
    });
    return this.current;
  }

  private async write(): Promise<void> {
    const { top, unreadable } = this.kept;
    const document = withKept({ instances: [...this.snapshot().map(entryOf), ...unreadable] }, top);
    const text = `${JSON.stringify(document, null, 2)}\n`;
    // Where a person has changed or removed one of the files since, what was written is not on the disk any more.
    if (text === this.written?.text && this.written.files === filesOf(this.path)) return;
    this.written = null;
    await replaceFile(this.path, text, CONFIG_MODE);
    this.written = { text, files: filesOf(this.path) };
  }
}

/** Tells the file and its backup from any that are put in their place, or written to. */
const filesOf = (path: string): string =>
  [path, backupPath(path)]
    .map((file) => statSync(file, { bigint: true, throwIfNoEntry: false }))
    .map((stat) => (stat === undefined ? "none" : [stat.dev, stat.ino, stat.size, stat.mtimeNs].join(":")))
    .join(" ");
