import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { embedPyserver } from "./pyserver-macro.ts" with { type: "macro" };
import type { EmbeddedPackage } from "./pyserver-macro.ts";

/** The Python server travels inside the binary; Python wants files. */

/** Read when the program is built. */
const embedded: EmbeddedPackage = embedPyserver();

const cacheHome = (env: Readonly<Record<string, string | undefined>>): string =>
  env.XDG_CACHE_HOME !== undefined && env.XDG_CACHE_HOME !== "" ? env.XDG_CACHE_HOME : join(homedir(), ".cache");

const isWhole = async (dir: string, { files }: EmbeddedPackage): Promise<boolean> => {
  try {
    const same = await Promise.all(
      Object.entries(files).map(async ([path, content]) => (await readFile(join(dir, path), "utf8")) === content),
    );
    return same.every(Boolean);
  } catch {
    return false;
  }
};

const writeAll = async (dir: string, { files }: EmbeddedPackage): Promise<void> => {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
};

/**
 * Unpacks the package into the user's cache, in a folder named after its content; one that is there
 * already and undamaged is used as it is.
 * @returns the folder for PYTHONPATH
 * @throws where the cache cannot be written
 */
export const unpackPyserver = async (
  env: Readonly<Record<string, string | undefined>>,
  source: EmbeddedPackage = embedded,
): Promise<string> => {
  const parent = join(cacheHome(env), "solar-host");
  const dir = join(parent, `pyserver-${source.hash}`);
  if (await isWhole(dir, source)) return dir;
  await mkdir(parent, { recursive: true });
  // Written beside and put in place whole: two daemons may do this at the same time.
  const beside = await mkdtemp(join(parent, "unpacking-"));
  try {
    await writeAll(beside, source);
    await rm(dir, { recursive: true, force: true });
    await rename(beside, dir);
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    if (!(await isWhole(dir, source))) throw error;
  }
  return dir;
};
