import { type CauseRules, causeOf, type DeathCause } from "../death-cause.ts";
import { COMMON_REASONS, pickReasonLines, type ReasonRules } from "../reason-lines.ts";

/** Why the Python server died: by its own log line, else by the end of Python's traceback. */

const RULES: ReasonRules = {
  clean: (line) => line,
  patterns: [
    // An error of one request did not end the server.
    /^solar: error message=(?!task \d+: )(.*)/,
    ...COMMON_REASONS,
    /^(?:[\w.]*OutOfMemoryError|MemoryError)\b/,
    /No module named /,
    /^solar_pyserver(?: \S+)?: error: (.*)/,
    // The last line of a traceback; of several tracebacks, the last is the uncaught one.
    /^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b/,
  ],
  weak: [/^solar: error message=(.*)/],
  noise: /^(?:solar: (?!error)|Traceback \(most recent call last\)|File ")/,
};

export const pyserverReasonLines = (lines: readonly string[]): string[] => pickReasonLines(lines, RULES);

const CAUSES: CauseRules = {
  lasting: [],
  memory: [/OutOfMemoryError\b/, /^MemoryError\b/m, /out of memory/i],
  bind: [],
  remedies: [],
  remedy: "lower max_length, choose a smaller dtype, or take a smaller model",
};

export const pyserverDeathCause = (lines: readonly string[]): DeathCause | null => causeOf(lines, CAUSES);
