import { type BackendType, configFields, inferBackendType, parseConfig } from "../contract/config.ts";
import { toFieldError } from "../contract/errors.ts";
import { fieldsOf, parseList } from "./config-flags.ts";
import type { RawConfig } from "./config-input.ts";
import { usageError } from "./errors.ts";

/** What a config becomes by an edit, and what that changes; without the editor and without the daemon. */

const KEY = "api_key";

/** Stands in the text for the key, which nobody is to read over a shoulder; left there, the key stays. */
export const KEPT_KEY = "(unchanged)";

const isKept = (key: unknown): boolean => key === undefined || key === null || key === "" || key === KEPT_KEY;

/** As it is shown in an editor. */
export const withoutKey = (config: RawConfig): RawConfig =>
  Object.hasOwn(config, KEY) ? { ...config, [KEY]: KEPT_KEY } : config;

/** The backend that a config names, else the one that its fields mean. */
export const backendTypeOf = (config: RawConfig): BackendType => {
  const given = config.backend_type;
  return typeof given === "string" && Object.hasOwn(configFields, given)
    ? (given as BackendType)
    : inferBackendType(config);
};

/** The config with each `name=value` put in. @throws usage error where there is no such field */
export const withValues = (config: RawConfig, assignments: readonly string[]): RawConfig => {
  const pairs = assignments.map((text): [string, string] => {
    const at = text.indexOf("=");
    if (at < 1) throw usageError(`--set '${text}' is no name=value`);
    return [text.slice(0, at).replaceAll("-", "_"), text.slice(at + 1)];
  });
  const backend = backendTypeOf({ ...config, ...Object.fromEntries(pairs) });
  const fields = fieldsOf(backend);
  const values = pairs.map(([name, value]): [string, unknown] => {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined && name !== "backend_type") {
      throw usageError(
        `--set: ${backend} has no field '${name}'`,
        `it has: ${fields.map((known) => known.name).join(", ")}`,
      );
    }
    return [name, field?.kind === "list" && value !== "" ? parseList(value, `--set ${name}`) : value];
  });
  return { ...config, ...Object.fromEntries(values) };
};

/**
 * The config as it is to be stored: what the daemon would refuse is found before anything is stopped. A key that is
 * not given stays. @throws usage error naming each field that is wrong
 */
export const checked = (given: RawConfig, before: RawConfig): RawConfig => {
  const config = isKept(given[KEY]) ? { ...given, [KEY]: before[KEY] } : given;
  const parsed = parseConfig(config);
  if (!parsed.success) {
    const lines = parsed.issues.map(
      ({ path, issue, input }) => `${path.join(".")}: ${toFieldError(path, issue, input).msg}`,
    );
    throw usageError("these values are not taken:", ...new Set(lines));
  }
  // A newer daemon has fields that this client does not know; any other is a slip of the pen.
  const unknown = parsed.unknownKeys.filter((key) => !Object.hasOwn(before, key));
  if (unknown.length > 0)
    throw usageError("these values are not taken:", ...unknown.map((key) => `${key}: there is no such field`));
  return { ...parsed.config, ...Object.fromEntries(parsed.unknownKeys.map((key) => [key, config[key]])) };
};

export interface Change {
  name: string;
  before: unknown;
  after: unknown;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export const changesBetween = (before: RawConfig, after: RawConfig): Change[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name) => {
    const change = { name, before: before[name] ?? null, after: after[name] ?? null };
    return same(change.before, change.after) ? [] : [change];
  });

/** Of the fields that are to be changed, those that were given yet another value meanwhile. */
export const clashesWith = (changes: readonly Change[], now: RawConfig): Change[] =>
  changes.flatMap(({ name, before, after }) => {
    const value = now[name] ?? null;
    return same(value, before) || same(value, after) ? [] : [{ name, before, after: value }];
  });

const shown = (value: unknown): string =>
  value === null ? "unset" : typeof value === "string" ? value : JSON.stringify(value);

/** A key is not shown: people look over shoulders. */
export const changeText = ({ name, before, after }: Change): string =>
  name === KEY ? `${name}: changed` : `${name}: ${shown(before)} -> ${shown(after)}`;
