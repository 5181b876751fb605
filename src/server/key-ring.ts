import { randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { systemProblem } from "../common/system-error.ts";
import type { KeyCreated, KeyInfo, KeyRequest } from "../contract/keys.ts";
import type { KeyFile, StoredKey } from "../store/key-file.ts";
import { NotSavedError } from "../supervisor/errors.ts";
import { digest, type Principal } from "./principal.ts";

/** The further keys of the daemon: made, looked up, revoked. */

const MINUTE_MS = 60_000;
const PREFIX_CHARACTERS = 14;

const infoOf = ({ hash: _, ...info }: StoredKey): KeyInfo => info;

const isOver = ({ expires_at }: StoredKey, now: number): boolean =>
  expires_at !== null && Date.parse(expires_at) <= now;

export class KeyRing {
  private keys: StoredKey[];
  private readonly listeners = new Set<(id: string) => void>();
  /** One change after another: a change that is refused must not take another one back with it. */
  private changing: Promise<unknown> = Promise.resolve();

  /** @throws KeyFileError */
  constructor(
    private readonly file: Pick<KeyFile, "load" | "save">,
    private readonly warn: (message: string) => void,
    private readonly now: () => number = Date.now,
  ) {
    this.keys = file.load();
  }

  list(): KeyInfo[] {
    return this.keys.map(infoOf);
  }

  /** @throws NotSavedError; the key does not count then */
  async create({ name, scopes, expires_at = null }: KeyRequest): Promise<KeyCreated> {
    const key = `sk-solar-${randomBytes(32).toString("base64url")}`;
    const stored: StoredKey = {
      id: randomUUID(),
      name,
      scopes: [...new Set(scopes)],
      prefix: key.slice(0, PREFIX_CHARACTERS),
      created_at: new Date(this.now()).toISOString(),
      expires_at: expires_at === null ? null : new Date(expires_at).toISOString(),
      last_used_at: null,
      hash: digest(key).toString("hex"),
    };
    await this.change((keys) => [...keys, stored]);
    return { ...infoOf(stored), key };
  }

  /** At once, also for what it has open. @returns false where there is no such key @throws NotSavedError; it counts on then */
  async revoke(id: string): Promise<boolean> {
    if (!this.keys.some((key) => key.id === id)) return false;
    await this.change((keys) => keys.filter((key) => key.id !== id));
    for (const listener of this.listeners) listener(id);
    return true;
  }

  /** Calls `listener` with the id of each key that is revoked or over. */
  subscribe(listener: (id: string) => void): void {
    this.listeners.add(listener);
  }

  /** The principal of a key by its digest; null where there is none, or its time is over. */
  principalOf(given: Buffer): Principal | null {
    const found = this.keys.find(({ hash }) => timingSafeEqual(Buffer.from(hash, "hex"), given));
    if (found === undefined || isOver(found, this.now())) return null;
    this.noteUse(found);
    return { keyId: found.id, name: found.name, scopes: found.scopes };
  }

  /** Tells of keys whose time is over, so that what they have open ends. */
  endExpired(): void {
    for (const key of this.keys) {
      if (isOver(key, this.now())) for (const listener of this.listeners) listener(key.id);
    }
  }

  /** To the minute, so that it is written once a minute and not at each request. */
  private noteUse(key: StoredKey): void {
    const minute = new Date(Math.floor(this.now() / MINUTE_MS) * MINUTE_MS).toISOString();
    if (key.last_used_at === minute) return;
    key.last_used_at = minute;
    this.change((keys) => keys).catch((error: unknown) => {
      this.warn(`cannot store when the key '${key.name}' was used: ${systemProblem(error)}`);
    });
  }

  /** What is stored is what counts. @throws NotSavedError */
  private change(next: (keys: StoredKey[]) => StoredKey[]): Promise<void> {
    const changed = this.changing.then(async () => {
      const keys = next(this.keys);
      await this.file.save(keys).catch((error: unknown) => {
        throw new NotSavedError(error);
      });
      this.keys = keys;
    });
    this.changing = changed.catch(() => undefined);
    return changed;
  }
}
