import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { isRecord } from "../common/record.ts";
import { isMissing, systemProblem } from "../common/system-error.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { parseConfig } from "../contract/config.ts";
import type { InstanceConfig, InstanceFailure, InstanceStatus } from "../contract/index.ts";
import { instanceFacts, instanceFailure } from "../contract/instance-facts.ts";
import { backupPath, replaceFile, targetOf } from "./atomic-file.ts";
import { placeOfJsonError } from "./json-place.ts";
import { joinPriority, type KeptKeys, parseJsonExactly, splitPriority, withKept, without } from "./kept-keys.ts";
import { readRegularFile } from "./regular-file.ts";

/** `config.json`: the instances, loaded without losing any and saved without losing one. */

/** It holds the keys of the instances. */
export const CONFIG_MODE = 0o600;

/** What a person wants: `on-demand` is started by the first request for it, and not by a boot. */
export type Intent = "running" | "stopped" | "on-demand";

/** What is stored of an instance. `desired` is what should be, the rest is what was last seen. */
export interface StoredInstance {
  id: string;
  config: InstanceConfig;
  status: InstanceStatus;
  desired: Intent;
  port: number | null;
  pid: number | null;
  /** As the program that created it wrote it; {@link asUtc} is what the API answers. */
  created_at: string;
  started_at: string | null;
  error_message: string | null;
  retry_count: number;
  failure: InstanceFailure | null;
  restarts: number;
  supported_endpoints: readonly string[];
  /** Keys of the entry in the file that are not ours; absent where it never stood there. */
  kept?: KeptKeys | undefined;
}

/**
 * What is stored beside the config. A value of another form counts as one that is not there: no entry is refused for
 * what a start finds out anew.
 */
const storedFacts = z.object({
  id: z.string().min(1),
  status: instanceFacts.status.catch("stopped"),
  desired: instanceFacts.desired.unwrap().nullable().catch(null),
  port: instanceFacts.port.catch(null),
  pid: instanceFacts.pid.catch(null),
  created_at: z.string().min(1).catch(new Date(0).toISOString()),
  started_at: instanceFacts.started_at.catch(null),
  error_message: z.string().min(1).nullable().catch(null),
  retry_count: instanceFacts.retry_count.catch(0),
  failure: instanceFailure.nullable().catch(null),
  restarts: z.int().min(0).catch(0),
});

/** Names of {@link StoredInstance} as they stand in the file. */
const OURS = [...Object.keys(storedFacts.shape), "config", "supported_endpoints"];

/** What a save keeps of the file besides the instances. */
export interface KeptContent {
  /** Keys at the top that are not ours. */
  top: Readonly<Record<string, unknown>>;
  /** Entries that could not be understood, as they stand in the file; they are saved again as they are. */
  unreadable: readonly unknown[];
}

export interface LoadedConfig extends KeptContent {
  instances: StoredInstance[];
  unreadable: unknown[];
  /** What is wrong with those, for a person. */
  problems: string[];
}

/** The file stops the boot; `message` says where and what to do. */
export class ConfigFileError extends Error {}

/**
 * A stored time as RFC 3339 in UTC, as exact as it is: Python writes microseconds, and UTC without a zone.
 * What is no time stays as it is.
 */
export const asUtc = (time: string): string => {
  // As this program writes it. Taken apart for each instance of a list of 50, it brought the list below its bound (0.23).
  if (time.endsWith("Z") && !time.includes(" ")) return time;
  const [, local = time, zone = ""] = /^(.*?)(Z|[+-]\d\d:?\d\d)?$/i.exec(time) ?? [];
  const utc = /^(|Z|[+-]00:?00)$/i.test(zone) ? `${local.replace(" ", "T")}Z` : time;
  const parsed = new Date(utc);
  if (Number.isNaN(parsed.getTime())) return time;
  return utc === time && !/Z$/i.test(time) ? parsed.toISOString() : utc;
};

const parseEntry = (entry: unknown): StoredInstance | string => {
  if (!isRecord(entry)) return "is not an object";
  const { data: facts } = storedFacts.safeParse(entry);
  if (facts === undefined) return "has no id";
  const { config, kept } = splitPriority(entry.config);
  const parsed = parseConfig(config);
  if (!parsed.success) {
    const fields = parsed.issues.map(({ path, issue }) => `${["config", ...path].join(".")}: ${issue.message}`);
    return `(id ${facts.id}) ${fields.join("; ")}`;
  }
  const ran = facts.status === "running" || facts.status === "starting";
  return {
    ...facts,
    config: parsed.config,
    desired: facts.desired ?? (ran ? "running" : "stopped"),
    started_at: facts.started_at === null ? null : asUtc(facts.started_at),
    supported_endpoints: [],
    kept: {
      entry: without(entry, OURS),
      config: { ...kept, ...without(config as Record<string, unknown>, Object.keys(parsed.config)) },
    },
  };
};

/** As it stands in the file. */
const entryOf = ({ kept, ...stored }: StoredInstance): object => {
  if (kept === undefined) return stored;
  return withKept({ ...stored, config: withKept(joinPriority(stored.config, kept.config), kept.config) }, kept.entry);
};

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

/** Writes the file, one write at a time; what is asked for during a write goes into the next one together. */
export class ConfigFile {
  private current: Promise<void> | null = null;
  /** What this daemon has written last; null where it has written nothing, or a write failed. */
  private written: string | null = null;
  private next: Promise<void> | null = null;

  constructor(
    readonly path: string,
    private readonly kept: KeptContent,
    private readonly snapshot: () => StoredInstance[],
  ) {}

  /** Resolves when what is true now is on the disk. */
  save(): Promise<void> {
    // It has not looked at what is true yet, and two writes never go on at once.
    if (this.next !== null) return this.next;
    if (this.current === null) {
      this.current = this.write();
      return this.current;
    }
    this.next = this.current
      // The caller of the save that failed takes its change back first: else the next save would write it.
      .catch(() => new Promise<void>((resolve) => setImmediate(resolve)))
      .then(() => {
        this.next = null;
        this.current = this.write();
        return this.current;
      });
    return this.next;
  }

  private async write(): Promise<void> {
    try {
      const { top, unreadable } = this.kept;
      const document = withKept({ instances: [...this.snapshot().map(entryOf), ...unreadable] }, top);
      const text = `${JSON.stringify(document, null, 2)}\n`;
      if (text === this.written) return;
      this.written = null;
      await replaceFile(this.path, text, CONFIG_MODE);
      this.written = text;
    } finally {
      this.current = null;
    }
  }
}
