import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { replaceFileSync } from "./atomic-file.ts";

/** Small JSON records, a file each: what the daemon must still know when it comes back. */
export class RecordFolder<T> {
  /**
   * @param suffix ends the name of each file, so that several kinds share a folder
   * @param durable whether a record survives a power cut, not only the daemon's death
   * @param isRecord whether what stands in a file is such a record
   */
  constructor(
    private readonly dir: string,
    private readonly suffix: string,
    private readonly durable: boolean,
    private readonly isRecord: (value: unknown) => value is T,
  ) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    // Of daemons that were killed while they wrote one.
    for (const name of readdirSync(dir)) {
      if (/\.\d+\.tmp$/.test(name)) rmSync(join(dir, name), { force: true });
    }
  }

  /** Null where there is none, or what is there is none: each record is written whole, so that is damage from outside. */
  read(id: string): T | null {
    try {
      const record: unknown = JSON.parse(readFileSync(this.path(id), "utf8"));
      return this.isRecord(record) ? record : null;
    } catch {
      return null;
    }
  }

  /** @throws where it cannot be written; the old record is untouched then */
  write(id: string, record: T): void {
    replaceFileSync(this.path(id), `${JSON.stringify(record, null, 2)}\n`, this.durable);
  }

  remove(id: string): void {
    rmSync(this.path(id), { force: true });
  }

  ids(): string[] {
    return readdirSync(this.dir)
      .filter((name) => name.endsWith(this.suffix))
      .flatMap((name) => decoded(basename(name, this.suffix)));
  }

  private path(id: string): string {
    return join(this.dir, `${encodeURIComponent(id)}${this.suffix}`);
  }
}

/** The id of a file's name; none where nobody here has written it. */
const decoded = (name: string): string[] => {
  try {
    return [decodeURIComponent(name)];
  } catch {
    return [];
  }
};
