/** What the last lines of a process that died say of another attempt. Pure. */

export type DeathCause =
  /** Another attempt meets the same fault: the model file, the config. */
  | { type: "lasting" }
  /** There was not enough memory; another attempt would take it again. */
  | { type: "memory"; advice: string }
  /** The address could not be taken: another program has the port, or the machine has no such address. */
  | { type: "bind" };

export interface CauseRules {
  lasting: readonly RegExp[];
  memory: readonly RegExp[];
  bind: readonly RegExp[];
  /** Which fields to change, by the first pattern that fits. */
  remedies: readonly (readonly [words: RegExp, remedy: string])[];
  remedy: string;
}

const ASKED = [/attempted to allocate ([\d.]+ ?[KMGT]i?B)/i, /tried to allocate ([\d.]+ ?[KMGT]i?B)/i] as const;
const BYTES = /failed to allocate .*buffer of size (\d+)/;

const askedFor = (text: string): string | null => {
  for (const pattern of ASKED) {
    const found = pattern.exec(text)?.[1];
    if (found !== undefined) return found;
  }
  const bytes = BYTES.exec(text)?.[1];
  return bytes === undefined ? null : `${(Number(bytes) / 1024 ** 3).toFixed(2)} GiB`;
};

export const causeOf = (lines: readonly string[], rules: CauseRules): DeathCause | null => {
  const text = lines.join("\n");
  const fits = (patterns: readonly RegExp[]): boolean => patterns.some((pattern) => pattern.test(text));
  if (fits(rules.memory)) {
    const asked = askedFor(text);
    const remedy = rules.remedies.find(([words]) => words.test(text))?.[1] ?? rules.remedy;
    return { type: "memory", advice: `${asked === null ? "" : `it asked for ${asked}; `}${remedy}` };
  }
  if (fits(rules.lasting)) return { type: "lasting" };
  return fits(rules.bind) ? { type: "bind" } : null;
};
