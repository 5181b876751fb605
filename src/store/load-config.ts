import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { isRecord } from "../common/record.ts";
import { isMissing, systemProblem } from "../common/system-error.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { backupPath, targetOf } from "./atomic-file.ts";
import type { KeptContent } from "./config-file.ts";
import { placeOfJsonError } from "./json-place.ts";
import { parseJsonExactly } from "./kept-keys.ts";
import { readRegularFile } from "./regular-file.ts";
import { parseEntry, type StoredInstance } from "./stored-instance.ts";

/** Loads `config.json` without losing an instance, or says why it stops the boot. */

export interface LoadedConfig extends KeptContent {
  instances: StoredInstance[];
  unreadable: unknown[];
  /** What is wrong with those, for a person. */
  problems: string[];
}

/** The file stops the boot; `message` says where and what to do. */
export class ConfigFileError extends Error {}

/** Ids of entries that could not be understood, as far as they have one. */
export const idsOf = (entries: readonly unknown[]): Set<string> =>
  new Set(entries.flatMap((entry) => (isRecord(entry) && typeof entry.id === "string" ? [entry.id] : [])));

const describePlace = (path: string, text: string): string => {
  const place = placeOfJsonError(text);
  return place === null ? path : `${path}:${place.line}:${place.column}: ${place.problem}`;
};

/** As the shell reads it back. */
const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`;

const restoreHint = (path: string): string =>
  existsSync(backupPath(path))
    ? `Mend it, or take the last good copy back: cp ${quoted(backupPath(path))} ${quoted(path)}`
    : "Mend it; there is no earlier copy of it";

/**
 * A daemon that was never here has neither the file nor its backup. Where one of them is missing the file was lost, and
 * to take it for empty would end every model that runs.
 */
const expectNeverThere = (path: string): void => {
  const target = targetOf(path);
  const backup = backupPath(path);
  if (existsSync(backup)) {
    throw new ConfigFileError(
      `${path} is gone, but its backup is there. Take the last good copy back: cp ${quoted(backup)} ${quoted(target)}\n` +
        `To start anew, without its instances: rm ${quoted(backup)}`,
    );
  }
  if (!existsSync(dirname(target))) {
    throw new ConfigFileError(`${path} is a link to ${target}, and the folder of that is not there`);
  }
};

/**
 * Loads the file; one that never existed is empty.
 * @throws ConfigFileError where it was lost, cannot be read or does not parse: it is never taken for empty
 */
export const loadConfig = (path: string): LoadedConfig => {
  let text: string;
  try {
    text = decodeUtf8(readRegularFile(path));
  } catch (error) {
    if (error instanceof EncodingError) {
      throw new ConfigFileError(`${path}:${error.line}:${error.column}: ${error.message}. ${restoreHint(path)}`);
    }
    if (!isMissing(error)) {
      throw new ConfigFileError(`cannot read the configuration: ${systemProblem(error, path)}`);
    }
    expectNeverThere(path);
    return { instances: [], unreadable: [], problems: [], top: {} };
  }
  if (text.trim() === "") throw new ConfigFileError(`${path}:1:1: the file is empty. ${restoreHint(path)}`);
  let document: unknown;
  try {
    document = parseJsonExactly(text);
  } catch {
    throw new ConfigFileError(`${describePlace(path, text)}: not valid JSON. ${restoreHint(path)}`);
  }
  const { instances: entries, ...top } = isRecord(document) ? document : {};
  if (!Array.isArray(entries)) {
    throw new ConfigFileError(`${path}:1:1: expected {"instances": [...]}. ${restoreHint(path)}`);
  }
  if (entries.length === 0) return { instances: [], unreadable: [], problems: [], top };
  return { ...sortEntries(path, entries), top };
};

const sortEntries = (path: string, entries: unknown[]): Omit<LoadedConfig, "top"> => {
  const loaded: Omit<LoadedConfig, "top"> = { instances: [], unreadable: [], problems: [] };
  const seen = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const parsed = parseEntry(entry);
    const problem = typeof parsed === "string" ? parsed : seen.has(parsed.id) ? `repeats id ${parsed.id}` : null;
    if (typeof parsed !== "string" && problem === null) {
      seen.add(parsed.id);
      loaded.instances.push(parsed);
      continue;
    }
    loaded.unreadable.push(entry);
    loaded.problems.push(`${path}: instances[${index}] ${problem}; it is kept in the file as it is, and left alone`);
  }
  return loaded;
};
