import type { InstanceConfig } from "../contract/index.ts";

/** What stands in `config.json` and is not ours: another program's keys are saved again as they are. Pure. */

type Keys = Readonly<Record<string, unknown>>;

/** Of one instance. */
export interface KeptKeys {
  /** Beside `config`. */
  entry: Keys;
  /** In it. */
  config: Keys;
}

export const without = (object: Keys, names: readonly string[]): Keys =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

/** What is ours comes first and counts. */
export const withKept = <T extends object>(ours: T, kept: Keys): T => ({
  ...ours,
  ...without(kept, Object.keys(ours)),
});

/** A priority in words, of a program that ranks instances by name; ours is a number. */
const isForeignPriority = (value: unknown): boolean =>
  typeof value === "string" && value.trim() !== "" && Number.isNaN(Number(value));

/** A stored config as it can be parsed, and the foreign values under names of ours. */
export const splitPriority = (config: unknown): { config: unknown; kept: Keys } => {
  const { priority, ...rest } = (config ?? {}) as Record<string, unknown>;
  return isForeignPriority(priority) ? { config: rest, kept: { priority } } : { config, kept: {} };
};

/** The other way: a foreign priority stays until ours is set to something. */
export const joinPriority = (config: InstanceConfig, { priority }: Keys): object =>
  isForeignPriority(priority) && config.priority === 0 ? { ...config, priority } : config;

/** Whole numbers that JavaScript cannot hold (another program's ids) stay what they are, digit by digit. */
export const parseJsonExactly = (text: string): unknown => {
  const exactly = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === "number" && Math.abs(value) >= 2 ** 53
      ? (JSON as unknown as { rawJSON(source: string): unknown }).rawJSON(context?.source ?? String(value))
      : value;
  return JSON.parse(text, exactly);
};
