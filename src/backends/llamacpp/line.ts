/**
 * Where a line of llama-server begins to mean something. Pure and cheap: every line of a log passes
 * here, and most of them are none of ours.
 */

const ESCAPE = 27;
const DOT = 46;
const SPACE = 32;
const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isUpper = (code: number): boolean => code >= 65 && code <= 90;

/** Minutes of a time prefix have as many digits as they need; more than this is no time. */
const MAX_MINUTE_DIGITS = 8;

/** Length of "0.00.018.479 ": minutes, seconds, milliseconds, microseconds; 0 where there is none. */
const timeLength = (line: string): number => {
  let dot = 0;
  while (dot <= MAX_MINUTE_DIGITS && isDigit(line.charCodeAt(dot))) dot++;
  if (dot === 0 || line.charCodeAt(dot) !== DOT) return 0;
  const fits =
    line.charCodeAt(dot + 3) === DOT && line.charCodeAt(dot + 7) === DOT && line.charCodeAt(dot + 11) === SPACE;
  return fits ? dot + 12 : 0;
};

/** Where the line goes on behind the time and the level letter ("0.00.018.479 I ", "E "), each of which may be missing. */
export const bodyStart = (line: string): number => {
  const at = isDigit(line.charCodeAt(0)) ? timeLength(line) : 0;
  return isUpper(line.charCodeAt(at)) && line.charCodeAt(at + 1) === SPACE ? at + 2 : at;
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes are what it looks for
const COLOUR = /\u001b\[[0-9;]*m/g;

/** Without colours, which llama-server writes into a file too when it is told to (`LLAMA_LOG_COLORS=on`). */
export const withoutColours = (line: string): string =>
  line.charCodeAt(0) === ESCAPE ? line.replace(COLOUR, "") : line;

const JSON_LINE = '{"type":"log"';

/** The lines of a `--log-jsonl` line's message; any other line as it is. */
export const messagesOf = (line: string): readonly string[] => {
  if (!line.startsWith(JSON_LINE)) return [line];
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === "string" ? msg.trimEnd().split("\n") : [];
  } catch {
    // A line that was cut.
    return [];
  }
};

/** The first two letters from `at` on, as one number: cheaper to look at than a string is to compare. */
export const pairAt = (line: string, at: number): number => line.charCodeAt(at) * 256 + line.charCodeAt(at + 1);

export const pairOf = (word: string): number => pairAt(word, 0);

export interface SlotLine {
  slot: number;
  /** Null where the line is of no task. */
  task: number | null;
  message: string;
}

const SLOT = /slot +\S{1,40} +id +(\d+) +\| +task +(-?\d+) +\| */y;

/** "slot print_timing: id  0 | task 7 | message"; null where it is another line. */
export const parseSlotLine = (line: string, start: number): SlotLine | null => {
  SLOT.lastIndex = start;
  const match = SLOT.exec(line);
  if (match === null) return null;
  const task = Number(match[2]);
  return { slot: Number(match[1]), task: task < 0 ? null : task, message: line.slice(SLOT.lastIndex) };
};

export interface Timing {
  tokens: number;
  /** Null where the build divided by nothing: one token has no time between tokens. */
  msPerToken: number | null;
  tokensPerSecond: number | null;
}

const TIMING =
  /^\s*(?:prompt )?eval time = +\S+ ms \/ +(\d+) (?:tokens|runs) +\( *(\S+) ms per token, +(\S+) tokens per second\)/;

/** 0.00, inf and nan are what builds print where they had nothing to divide by. */
const rate = (text: string | undefined): number | null => {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : null;
};

/** Which of the timing lines it is. They differ in the beginning alone: one's name is the end of the other's. */
export const timingKind = (message: string): "prompt" | "decode" | "total" | null => {
  const text = message.trimStart();
  if (text.startsWith("prompt eval time =")) return "prompt";
  if (text.startsWith("eval time =")) return "decode";
  return text.startsWith("total time =") ? "total" : null;
};

export const parseTiming = (message: string): Timing | null => {
  const match = TIMING.exec(message);
  if (match === null) return null;
  return { tokens: Number(match[1]), msPerToken: rate(match[2]), tokensPerSecond: rate(match[3]) };
};
