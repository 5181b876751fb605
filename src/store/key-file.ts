import { readFileSync } from "node:fs";
import { z } from "zod";
import { isMissing, systemProblem } from "../common/system-error.ts";
import { keyInfo } from "../contract/keys.ts";
import { replaceFile } from "./atomic-file.ts";

/** `.solar-host/keys.json`: the further keys of a daemon, each by its hash. */

const storedKey = keyInfo.extend({
  /** SHA-256 of the key, in hex: of 256 random bits that is enough. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
});
export type StoredKey = z.output<typeof storedKey>;

const file = z.object({ keys: z.array(storedKey) });

const MODE = 0o600;

/** The file stops the boot: without it, its keys would be refused, and the next save would lose them. */
export class KeyFileError extends Error {}

export class KeyFile {
  private saving: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  /** One that was never there has no keys. @throws KeyFileError where it cannot be read */
  load(): StoredKey[] {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if (isMissing(error)) return [];
      throw new KeyFileError(`cannot read the keys: ${systemProblem(error, this.path)}`);
    }
    try {
      return file.parse(JSON.parse(text)).keys;
    } catch {
      throw new KeyFileError(
        `${this.path} is damaged. Take the last good copy back: cp '${this.path}.bak' '${this.path}', ` +
          "or remove both, which ends all further keys",
      );
    }
  }

  /** Durable when it resolves; one save after another. @throws in words */
  save(keys: readonly StoredKey[]): Promise<void> {
    const text = `${JSON.stringify({ keys }, null, 2)}\n`;
    const saved = this.saving.then(() => replaceFile(this.path, text, MODE));
    this.saving = saved.catch(() => undefined);
    return saved;
  }
}
