import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { inWords, isMissing } from "../common/system-error.ts";
import { decodeUtf8 } from "../common/utf8.ts";
import { replaceJsonSync } from "./atomic-file.ts";

/** Small JSON records, a file each: what the daemon must still know when it comes back. */
export class RecordFolder<T> {
  /**
   * @param suffix ends the name of each file, so that several kinds share a folder
   * @param durable whether a record survives a power cut, not only the daemon's death, and has a second copy beside it
   * @param isRecord whether what stands in a file is such a record
   * @param warn is told of a record that is damaged
   */
  constructor(
    private readonly dir: string,
    private readonly suffix: string,
    private readonly durable: boolean,
    private readonly isRecord: (value: unknown) => value is T,
    private readonly warn: (message: string) => void,
    /** Throws where another folder is at this path by now: what it holds is another daemon's. */
    private readonly checkPlace: () => void = () => undefined,
  ) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    // Of daemons that were killed while they wrote one.
    for (const name of readdirSync(dir)) {
      if (/\.\d+\.tmp$/.test(name)) rmSync(join(dir, name), { force: true });
    }
  }

  /**
   * Null where there is none, or no copy of it is whole: each is written whole, so that is damage from outside.
   * @throws where there is one that cannot be read now
   */
  read(id: string): T | null {
    const path = this.path(id);
    const bytes = readBytes(path);
    if (bytes === null) return null;
    const record = this.parse(bytes);
    if (record !== null) return record;
    const copied = this.durable ? this.parse(readBytes(copyPath(path)) ?? Buffer.of()) : null;
    this.warn(`${path} is damaged: ${copied === null ? "what it recorded is lost" : "its copy is used"}`);
    return copied;
  }

  /** @throws where it cannot be written; the old record is untouched then */
  write(id: string, record: T): void {
    this.checkPlace();
    const path = this.path(id);
    replaceJsonSync(path, record, this.durable);
    if (!this.durable) return;
    try {
      replaceJsonSync(copyPath(path), record, false);
    } catch {
      // The record itself is written; only one that is damaged is looked for in its copy.
    }
  }

  /** @throws where it cannot be removed */
  remove(id: string): void {
    this.checkPlace();
    for (const path of [this.path(id), copyPath(this.path(id))]) {
      try {
        rmSync(path, { force: true });
      } catch (error) {
        throw inWords(error, path);
      }
    }
  }

  ids(): string[] {
    return readdirSync(this.dir)
      .filter((name) => name.endsWith(this.suffix))
      .flatMap((name) => decoded(basename(name, this.suffix)));
  }

  private parse(bytes: Buffer): T | null {
    try {
      const record: unknown = JSON.parse(decodeUtf8(bytes));
      return this.isRecord(record) ? record : null;
    } catch {
      return null;
    }
  }

  private path(id: string): string {
    return join(this.dir, `${encodeURIComponent(id)}${this.suffix}`);
  }
}

const copyPath = (path: string): string => `${path}.bak`;

/** Null where there is no such file, and only then. */
const readBytes = (path: string): Buffer | null => {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw inWords(error, path);
  }
};

/** The id of a file's name; none where the name is not of this program. */
const decoded = (name: string): string[] => {
  try {
    return [decodeURIComponent(name)];
  } catch {
    return [];
  }
};
