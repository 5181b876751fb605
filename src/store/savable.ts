import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemProblem } from "../common/system-error.ts";
import { rewriteFile, targetOf } from "./atomic-file.ts";

/**
 * Whether a file can be replaced as a save does it, tried before the first save has to. The present content is saved
 * once more: no question to the system foretells every refusal.
 * @param file the file, or a link to it; it need not be there
 * @param mode permissions of the file that is saved
 * @returns for a person; null where nothing stands in the way
 */
export const whyNotSavable = async (file: string, mode: number): Promise<string | null> => {
  const path = targetOf(file);
  const beside = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(beside, "\n", { mode: 0o600 });
  } catch (error) {
    return systemProblem(error, dirname(path));
  } finally {
    await rm(beside, { force: true }).catch(() => undefined);
  }
  try {
    await rewriteFile(path, mode);
    return null;
  } catch (error) {
    return systemProblem(error, path);
  }
};

/**
 * Whether files can be made in a folder of the daemon's, tried before a start has to. It is made where it is not there.
 * @returns for a person; null where nothing stands in the way
 */
export const whyNotWritable = (folder: string): string | null => {
  const trial = join(folder, `trial.${process.pid}.tmp`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // Empty: how full the disk is, is told elsewhere.
    writeFileSync(trial, "", { mode: 0o600 });
    rmSync(trial);
    return null;
  } catch (error) {
    return systemProblem(error, folder);
  }
};
