import { readFileSync, realpathSync, statSync } from "node:fs";
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

/**
 * The identity of the folder in which `stateDir` lies. The daemon must hold the folder's lock.
 * @throws where it can be neither read nor kept
 */
export const knowFolder = (stateDir: string, bootId: string): KnownFolder => {
  const path = join(stateDir, "identity.json");
  // A number may be greater than JavaScript's safe integers.
  const { dev, ino } = statSync(stateDir, { bigint: true });
  const place = { boot_id: bootId, device: `${dev}`, inode: `${ino}`, path: realpathSync(join(stateDir, "..")) };
  const kept = readKept(path);
  const known = identityAt(kept, place, () => crypto.randomUUID());
  if (kept?.id !== known.identity.id || kept.path !== place.path) {
    replaceJsonSync(path, known.identity, true);
  }
  return known;
};
