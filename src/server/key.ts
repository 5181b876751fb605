import { readFileSync } from "node:fs";
import { type Settings, writeFirstKey } from "../store/settings.ts";
import { BootError, type DaemonFlags } from "./boot.ts";

/** Where the daemon's key comes from, and which one it will not go with. */

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

const print = (text: string): void => void process.stderr.write(text);

const readKeyFile = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new BootError(`--api-key-file: cannot read '${path}': ${(error as Error).message}`, 2);
  }
};

/** The key in force; makes one on the first run. */
export const obtainKey = (settings: Settings, flags: DaemonFlags, envPath: string): string => {
  const key = flags.apiKeyFile === null ? settings.API_KEY : readKeyFile(flags.apiKeyFile);
  if (key === null) {
    const made = writeFirstKey(envPath);
    print(`No API_KEY was set, so one was made and written to ${envPath}:\n\n    ${made}\n\nSend it as X-API-Key.\n\n`);
    return made;
  }
  if (key === "" && !isLoopback(settings.HOST)) {
    throw new BootError(
      `API_KEY is empty, which means no authentication; that is refused on HOST=${settings.HOST}. Set a key, or HOST=127.0.0.1.`,
      2,
    );
  }
  return key;
};
