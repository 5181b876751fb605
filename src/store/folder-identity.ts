import { existsSync, mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isMissing } from "../common/system-error.ts";
import { replaceJsonSync } from "./atomic-file.ts";

/**
 * What tells a daemon's folder from every other one. A path does not: two containers may have the same one, and a
 * folder may be moved under its daemon. The id is kept in `.solar-host` together with the place that it was made for.
 */
const folderIdentity = z.object({
  /**
   * A UUID; stands in the environment of each process that daemons of this folder start. macOS shows an environment with
   * its entries parted by blanks.
   */
  id: z.string().regex(/^[\w-]+$/),
  boot_id: z.string(),
  device: z.string(),
  inode: z.string(),
  /** Where it lay when a daemon last began there; only ever told. */
  path: z.string(),
});
export type FolderIdentity = z.output<typeof folderIdentity>;

export type FolderPlace = Omit<FolderIdentity, "id">;

export interface KnownFolder {
  identity: FolderIdentity;
  /** Path of the folder of which this one is a copy, where that was found out just now. */
  copyOf: string | null;
}

/**
 * A folder that was moved keeps its device and inode, and its id with them; a copy gets an id of its own. So does each
 * boot of the machine: no process outlives a boot, and devices may have other numbers in the next one.
 */
export const identityAt = (kept: FolderIdentity | null, place: FolderPlace, newId: () => string): KnownFolder => {
  const sameBoot = kept !== null && kept.boot_id === place.boot_id;
  if (sameBoot && kept.device === place.device && kept.inode === place.inode) {
    return { identity: { id: kept.id, ...place }, copyOf: null };
  }
  return { identity: { id: newId(), ...place }, copyOf: sameBoot ? kept.path : null };
};

const readKept = (path: string): FolderIdentity | null => {
  try {
    return folderIdentity.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? null;
  } catch (error) {
    // A damaged one is none. One that cannot be read now may be whole.
    if (isMissing(error) || error instanceof SyntaxError) return null;
    throw error;
  }
};

const IDENTITY = "identity.json";

/** What stays the same when the state folder is made anew. */
export type KeptIdentity = Omit<FolderIdentity, "device" | "inode">;

/** A number may be greater than JavaScript's safe integers. */
const placeOf = (stateDir: string): Pick<FolderPlace, "device" | "inode"> => {
  const { dev, ino } = statSync(stateDir, { bigint: true });
  return { device: `${dev}`, inode: `${ino}` };
};

const write = (stateDir: string, identity: FolderIdentity): void =>
  replaceJsonSync(join(stateDir, IDENTITY), identity, true);

/**
 * Gives the identity back to a folder whose `.solar-host` was removed under its daemon. The daemon must hold the lock.
 * @returns whether it was gone
 */
export const restoreFolder = (stateDir: string, identity: KeptIdentity): boolean => {
  if (existsSync(join(stateDir, IDENTITY))) return false;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  write(stateDir, { ...identity, ...placeOf(stateDir) });
  return true;
};

/**
 * The identity of the folder in which `stateDir` lies. The daemon must hold the folder's lock.
 * @throws where it can be neither read nor kept
 */
export const knowFolder = (stateDir: string, bootId: string): KnownFolder => {
  const place = { boot_id: bootId, ...placeOf(stateDir), path: realpathSync(join(stateDir, "..")) };
  const kept = readKept(join(stateDir, IDENTITY));
  const known = identityAt(kept, place, () => crypto.randomUUID());
  if (kept?.id !== known.identity.id || kept.path !== place.path) write(stateDir, known.identity);
  return known;
};
