import type { RawConfig } from "./config-input.ts";

/** What an edit changes, said field by field. */

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

/**
 * What was changed from `before` to `after`, put into what the config has become `now`.
 * @returns `clashes` too: fields that were given another value on both sides, and what they became
 */
export const rebased = (
  before: RawConfig,
  after: RawConfig,
  now: RawConfig,
): { config: RawConfig; clashes: Change[] } => {
  const changes = changesBetween(before, after);
  const kept = Object.entries(now).filter(([name]) => changes.every((change) => change.name !== name));
  const changed = changes.flatMap(({ name }) => (Object.hasOwn(after, name) ? [[name, after[name]] as const] : []));
  const clashes = changes
    .map(({ name, before: was, after: wanted }) => ({ name, wanted, before: was, after: now[name] ?? null }))
    .filter((change) => !same(change.after, change.before) && !same(change.after, change.wanted))
    .map(({ name, before: was, after: is }): Change => ({ name, before: was, after: is }));
  return { config: Object.fromEntries([...kept, ...changed]), clashes };
};

const shown = (value: unknown): string =>
  value === null ? "unset" : typeof value === "string" ? value : JSON.stringify(value);

/** A key is not shown: people look over shoulders. */
export const changeText = ({ name, before, after }: Change): string =>
  name === "api_key" ? `${name}: changed` : `${name}: ${shown(before)} -> ${shown(after)}`;
