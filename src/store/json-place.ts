import { type ParseError, parse, printParseErrorCode } from "jsonc-parser";

/**
 * Where a text stops being JSON, counted from 1; null where it parses, or is nested too deeply to tell. The text
 * itself is not repeated: it may hold secrets.
 */
export const placeOfJsonError = (text: string): { line: number; column: number; problem: string } | null => {
  const errors: ParseError[] = [];
  try {
    parse(text, errors, { disallowComments: true });
  } catch {
    // Nested too deeply for a parser that goes down by itself.
    return null;
  }
  const first = errors[0];
  if (first === undefined) return null;
  const before = text.slice(0, first.offset).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1, problem: printParseErrorCode(first.error) };
};
