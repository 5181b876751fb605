import { constants } from "node:os";
import { meaningOf } from "../common/system-error.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { usageError } from "./errors.ts";

/** Texts of elsewhere: read as what they are, and shown so that they neither harm a terminal nor puzzle a person. */

/** A sentence of elsewhere in which the system's own words stand: `ENOSPC: no space left on device, write`. */
export const withoutErrno = (text: string): string =>
  text.replace(
    /\b(E[A-Z][A-Z0-9]+): [a-z][^,:\n]*(?:, [a-z0-9]+(?: ('[^'\n]*'))?)?/g,
    (whole: string, code: string, path = "the file") =>
      Object.hasOwn(constants.errno, code) ? (meaningOf(code, path) ?? `the system refuses ${path} (${code})`) : whole,
  );

/** A text that a person wrote, which is UTF-8. @param name file, or what it is called. @throws usage error with the place */
export const textOf = (bytes: Uint8Array, name: string): string => {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    throw usageError(`${name}:${error.line}:${error.column}: ${error.message}`);
  }
};

/** What could take over a terminal: every sequence but colours, and every control character but these and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const SEQUENCES = /\u001b(?!\[[\d;]*m)(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)?/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROLS = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const COLORS = /\u001b\[[\d;]*m/g;

/** A line from elsewhere as it may stand on a terminal. */
export const harmless = (line: string, colored: boolean): string => {
  const safe = line.replace(SEQUENCES, "").replace(CONTROLS, "");
  return colored ? safe : safe.replace(COLORS, "");
};
