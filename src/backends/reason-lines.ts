/** Which lines of a dead process's output tell a person why it died. */

const MOST = 3;

/** A template or a request may stand in one line, and `error_message` is for reading. In UTF-16 units. */
const LONGEST = 400;

/** A process may die with a line of megabytes; nothing that tells why stands behind this. */
const LOOKED_AT = 4000;

const shortened = (line: string): string => (line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line);

/** Where a pattern has a group, the group is what tells; else the whole line. */
const told = (line: string, pattern: RegExp): string | null => {
  const match = pattern.exec(line);
  return match === null ? null : (match[1] ?? line).trim();
};

const lastTold = (lines: readonly string[], pattern: RegExp): string | null => {
  for (let i = lines.length - 1; i >= 0; i--) {
    const text = told(lines[i] ?? "", pattern);
    if (text !== null && text !== "") return text;
  }
  return null;
};

export interface ReasonRules {
  /** A line without what is of no use to a person: its time, the function that printed it. */
  clean(line: string): string;
  /** Most telling first. Each gives one line at most, the last that it fits. */
  patterns: readonly RegExp[];
  /** Used only where none of those fits: lines that come with any failure and explain none. */
  weak: readonly RegExp[];
  /** Lines that say nothing, left out where no pattern fits. */
  noise: RegExp;
}

const pick = (lines: readonly string[], patterns: readonly RegExp[]): string[] => {
  const picked: string[] = [];
  for (const pattern of patterns) {
    const text = lastTold(lines, pattern);
    if (text !== null && !picked.some((other) => other.includes(text))) picked.push(text);
    if (picked.length === MOST) break;
  }
  return picked;
};

/** At most 3 lines, most telling first; where no pattern fits, the last ones as they came. */
export const pickReasonLines = (lines: readonly string[], rules: ReasonRules): string[] => {
  const clean = lines.map((line) => rules.clean(line.slice(0, LOOKED_AT)).trim()).filter((line) => line !== "");
  const choices = [
    () => pick(clean, rules.patterns),
    () => pick(clean, rules.weak),
    () => clean.filter((line) => !rules.noise.test(line)).slice(-MOST),
    () => clean.slice(-MOST),
  ];
  for (const choose of choices) {
    const chosen = choose();
    if (chosen.length > 0) return chosen.map(shortened);
  }
  return [];
};

/** What any program may die of. */
export const COMMON_REASONS: readonly RegExp[] = [
  /error while loading shared libraries/,
  /symbol lookup error/,
  /\b(?:Segmentation fault|Illegal instruction|Bus error|Killed)\b/,
];
