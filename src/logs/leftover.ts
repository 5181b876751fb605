import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { inWords, isMissing } from "../common/system-error.ts";
import type { PrunedLogs } from "../contract/pruned-logs.ts";
import type { LogSettings } from "./log-settings.ts";
import { indexPath } from "./segment.ts";

/**
 * Log files of instances that were deleted. The index of a file is what shows that this daemon made it: a file
 * without one, whatever its name, may belong to another program.
 */

/** st_blocks counts these, whatever the file system's own blocks are. Source: stat(2). */
const BLOCK = 512;

const SUFFIX = ".idx";

const bytesOnDisk = (path: string): number => (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK;

const indexedFiles = (indexDir: string): string[] => {
  try {
    return readdirSync(indexDir).flatMap((name) => (name.endsWith(SUFFIX) ? [basename(name, SUFFIX)] : []));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
};

const removeFile = (path: string): void => {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw inWords(error, path);
  }
};

/**
 * Removes the log files that no instance has any more.
 * @param held names of the log files that instances have
 * @param dryRun only tells what would be removed
 * @throws where one cannot be removed; those before it are
 */
export const pruneLogs = (
  { dir, indexDir }: Pick<LogSettings, "dir" | "indexDir">,
  held: ReadonlySet<string>,
  dryRun: boolean,
): PrunedLogs => {
  const pruned: PrunedLogs = { removed: [], freed_bytes: 0 };
  // A LOG_DIR that is not mounted now holds files that are not gone.
  if (!existsSync(dir)) return pruned;
  for (const name of indexedFiles(indexDir).sort()) {
    if (held.has(name)) continue;
    const file = join(dir, name);
    const index = indexPath(indexDir, file);
    if (existsSync(file)) {
      pruned.removed.push(name);
      pruned.freed_bytes += bytesOnDisk(file) + bytesOnDisk(index);
    }
    if (dryRun) continue;
    for (const path of [file, index]) removeFile(path);
  }
  return pruned;
};
