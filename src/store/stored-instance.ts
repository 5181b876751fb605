import { z } from "zod";
import { isRecord } from "../common/record.ts";
import { parseConfig } from "../contract/config.ts";
import type { InstanceConfig, InstanceFailure, InstanceStatus } from "../contract/index.ts";
import { instanceFacts, instanceFailure } from "../contract/instance-facts.ts";
import { joinPriority, type KeptKeys, splitPriority, withKept, without } from "./kept-keys.ts";

/** An instance as `config.json` stores it, and the way from an entry of the file to it and back. Pure. */

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

/** An entry of the file, or what is wrong with it. */
export const parseEntry = (entry: unknown): StoredInstance | string => {
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

/** An instance as it stands in the file. */
export const entryOf = ({ kept, ...stored }: StoredInstance): object => {
  if (kept === undefined) return stored;
  return withKept({ ...stored, config: withKept(joinPriority(stored.config, kept.config), kept.config) }, kept.entry);
};
