import { type ParseError, parse, printParseErrorCode } from "jsonc-parser";

type ErrorName = ReturnType<typeof printParseErrorCode>;

/** What the parser calls it, in words for a person. */
const words: Readonly<Record<ErrorName, string>> = {
  InvalidSymbol: "a word that JSON does not know, or quotes are missing",
  InvalidNumberFormat: "a number that is not written as JSON writes numbers",
  PropertyNameExpected: "a name in double quotes is expected here, and no comma before a bracket",
  ValueExpected: "a value is expected here",
  ColonExpected: "a colon is expected here",
  CommaExpected: "a comma is expected here",
  CloseBraceExpected: "a closing } is expected here",
  CloseBracketExpected: "a closing ] is expected here",
  EndOfFileExpected: "there is more behind the end",
  InvalidCommentToken: "a comment, which JSON does not have",
  UnexpectedEndOfComment: "a comment, which JSON does not have",
  UnexpectedEndOfString: "a text without its closing quote",
  UnexpectedEndOfNumber: "a number that breaks off",
  InvalidUnicode: "\\u without four hexadecimal digits",
  InvalidEscapeCharacter: "a backslash before a character that needs none",
  InvalidCharacter: "a control character within a text",
  "<unknown ParseErrorCode>": "something that is not JSON",
};

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
  return {
    line: before.length,
    column: (before.at(-1) ?? "").length + 1,
    problem: words[printParseErrorCode(first.error)],
  };
};
