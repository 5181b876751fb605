import { accessSync, constants, existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The home folder of the user, where there is one that can be used: a service user often has none. */

type Environment = Readonly<Record<string, string | undefined>>;

const isUsable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    // One that is not there is not made: root could, and would make another user's.
    return false;
  }
};

/** As `~` means it; null where no home is known. */
const homeOf = (env: Environment): string | null => {
  const home = env.HOME !== undefined && env.HOME !== "" ? env.HOME : homedir();
  return isAbsolute(home) ? home : null;
};

/** A folder in the user's cache; null where there is no home to put it in. XDG asks for a relative folder to be ignored. */
export const cacheFolder = (env: Environment): string | null => {
  const { XDG_CACHE_HOME: given } = env;
  if (given !== undefined && isAbsolute(given)) return given;
  const home = homeOf(env);
  if (home === null) return null;
  const cache = join(home, ".cache");
  return isUsable(cache) || isUsable(home) ? cache : null;
};

/** A path as a shell reads it: `~/` is the home folder. Of `~user/` nothing is known here. */
export const expandHome = (path: string, env: Environment): string => {
  const home = path.startsWith("~/") ? homeOf(env) : null;
  return home === null ? path : join(home, path.slice(2));
};

/** What a child needs in the place of a home: HuggingFace's libraries keep models and their locks there. */
export const withoutHome = (env: Environment, stateDir: string): Environment => {
  const home = homeOf(env);
  // Models that were fetched before are found there, though nothing new may be written.
  const hasModels = home !== null && existsSync(join(home, ".cache/huggingface"));
  return cacheFolder(env) !== null || hasModels || env.HF_HOME
    ? env
    : { ...env, HF_HOME: join(stateDir, "huggingface") };
};
