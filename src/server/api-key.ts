import { readFileSync } from "node:fs";
import { systemProblem } from "../common/system-error.ts";
import { expandHome } from "../store/home.ts";
import { type Settings, writeFirstKey } from "../store/settings.ts";
import { BootError, type DaemonFlags } from "./boot.ts";
import { isLoopback } from "./cross-origin.ts";

/** Where the daemon's key comes from, and which keys are refused. */

const readKeyFile = (path: string): string => {
  let key: string;
  try {
    key = readFileSync(expandHome(path, process.env), "utf8").trim();
  } catch (error) {
    throw new BootError(`--api-key-file: cannot read the key: ${systemProblem(error, path)}`, 2);
  }
  // Most likely a file that was never filled: no authentication has to be asked for by `API_KEY=`.
  if (key === "") {
    throw new BootError(`--api-key-file: '${path}' is empty. Write a key into it, or leave the flag out.`, 2);
  }
  return key;
};

/** Null: clients can send it. */
const problemOf = (key: string): string | null => {
  if (!/^[\x20-\x7e]*$/.test(key)) return "holds other characters than printable ASCII";
  return key.trim() === key ? null : "begins or ends with a space";
};

const WELL_KNOWN =
  /^(change-?me(-please)?|please-?change(-?me)?|default|password|passwd|secret|test(-?key)?|admin|(your-?)?(api-?)?key)[\d!]*$/i;
const SHORTEST = 8;

/** What is weak about a key that is in force; null where nothing is. The key itself is not repeated. */
export const weaknessOf = (key: string): string | null => {
  if (key === "") return null;
  const why = WELL_KNOWN.test(key)
    ? "is one that many know"
    : key.length < SHORTEST
      ? `has fewer than ${SHORTEST} characters`
      : new Set(key).size < 3
        ? "repeats the same character"
        : null;
  return why === null ? null : `the API key ${why}, and who has it can run code here: set a long random one`;
};

/** A new key, written into `.env`. */
export const makeKey = (envPath: string): string => {
  try {
    return writeFirstKey(envPath);
  } catch (error) {
    throw new BootError(
      `no API_KEY was set, and the one that was made could not be saved: ${systemProblem(error, envPath)}. Or set API_KEY in the environment, or name a file that holds one with --api-key-file.`,
    );
  }
};

/** The key that is given, if one is; nothing is written yet. */
export const givenKey = (
  settings: Pick<Settings, "API_KEY" | "HOST">,
  { apiKeyFile }: Pick<DaemonFlags, "apiKeyFile">,
): string | null => {
  const key = apiKeyFile === null ? settings.API_KEY : readKeyFile(apiKeyFile);
  if (key === null) return null;
  const problem = problemOf(key);
  if (problem !== null) {
    const source = apiKeyFile === null ? "API_KEY" : `--api-key-file: the key in '${apiKeyFile}'`;
    throw new BootError(`${source} ${problem}: no client could send it in an HTTP header. Set another one.`, 2);
  }
  if (key === "" && !isLoopback(settings.HOST)) {
    throw new BootError(
      `API_KEY is empty, which means no authentication; that is refused on HOST=${settings.HOST}. Set a key, or HOST=127.0.0.1.`,
      2,
    );
  }
  return key;
};
