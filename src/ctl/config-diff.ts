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

const shown = (value: unknown): string =>
  value === null ? "unset" : typeof value === "string" ? value : JSON.stringify(value);

/** A key is not shown: people look over shoulders. */
export const changeText = ({ name, before, after }: Change): string =>
  name === "api_key" ? `${name}: changed` : `${name}: ${shown(before)} -> ${shown(after)}`;
