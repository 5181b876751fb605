/**
 * The text of a `.env` file, read as python-dotenv reads it: the same file serves the Python program. Pure. Its grammar
 * is that of https://github.com/theskumar/python-dotenv, `parser.py` and `variables.py`, 1.2.4.
 */

export interface ParsedDotenv {
  /** By name as it stands in the file. Of a name that comes twice the last counts; null is a name without `=`. */
  values: Map<string, string | null>;
  /** The lines, counted from 1, at which something begins that is neither a setting nor a comment. */
  invalidLines: number[];
}

/** What Python takes for a blank, line ends included; `\s` of JavaScript is another set. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** The same without line ends. */
const BLANK = SPACE.replace("\\t-\\r", "\\t\\x0b\\x0c");

const rule = (source: string): RegExp => new RegExp(source, "y");

const blankLines = rule(`[${SPACE}]*`);
const blanks = rule(`[${BLANK}]*`);
const exportWord = rule(`(?:export[${BLANK}]+)?`);
const quotedKey = rule("'([^']+)'");
const plainKey = rule(`([^=#${SPACE}]+)`);
const equalSign = rule(`(=[${BLANK}]*)`);
const singleQuoted = rule("'((?:\\\\[^]|[^'\\\\])*)'");
const doubleQuoted = rule('"((?:\\\\[^]|[^"\\\\])*)"');
const plainValue = rule("([^\\n]*)");
const comment = rule(`(?:[${BLANK}]*#[^\\n]*)?`);
const endOfLine = rule(`[${BLANK}]*(?:\\n|$)`);
const restOfLine = rule("[^\\n]*\\n?");

const commentBehindValue = new RegExp(`[${SPACE}]+#.*$`, "s");
const blanksAtEnd = new RegExp(`[${SPACE}]+$`);

const escapes: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

const unescaped = (text: string, which: RegExp): string =>
  text.replace(which, (_, letter: string) => escapes[letter] ?? letter);

/** The rest of the text does not fit the grammar there. */
class Unexpected extends Error {}

class Reader {
  at = 0;

  constructor(readonly text: string) {}

  peek(): string {
    return this.text.charAt(this.at);
  }

  /** Reads what the rule takes, and gives its group. */
  read(what: RegExp): string {
    what.lastIndex = this.at;
    const match = what.exec(this.text);
    if (match === null) throw new Unexpected();
    this.at = what.lastIndex;
    return match[1] ?? "";
  }
}

const readKey = (reader: Reader): string | null => {
  if (reader.peek() === "#") return null;
  return reader.read(reader.peek() === "'" ? quotedKey : plainKey);
};

const readValue = (reader: Reader): string | null => {
  if (reader.peek() !== "=") return null;
  const spaced = reader.read(equalSign).length > 1;
  switch (reader.peek()) {
    case "'":
      return unescaped(reader.read(singleQuoted), /\\([\\'])/g);
    case '"':
      return unescaped(reader.read(doubleQuoted), /\\([\\'"abfnrtv])/g);
    case "#":
      // `KEY= # why` is empty, and `KEY=#abc` is not.
      if (spaced) return "";
  }
  return reader.read(plainValue).replace(commentBehindValue, "").replace(blanksAtEnd, "");
};

type Binding = { key: string; value: string | null };

/** One setting, with the comment behind it; null where there is a comment or nothing. */
const readBinding = (reader: Reader): Binding | null => {
  if (reader.at === reader.text.length) return null;
  reader.read(exportWord);
  const key = readKey(reader);
  reader.read(blanks);
  const value = readValue(reader);
  reader.read(comment);
  reader.read(endOfLine);
  return key === null ? null : { key, value };
};

/** `${NAME}` and `${NAME:-default}`: the lines above come before the environment. */
const interpolated = (value: string, known: (name: string) => string | null | undefined): string =>
  value.replace(/\$\{([^}:]*)(?::-([^}]*))?\}/g, (_, name: string, fallback: string | undefined) => {
    const found = known(name);
    return found === undefined ? (fallback ?? "") : (found ?? "");
  });

/** @param env what `${NAME}` means where the file does not say it */
export const parseDotenv = (text: string, env: Readonly<Record<string, string | undefined>>): ParsedDotenv => {
  const reader = new Reader(text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n"));
  const parsed: ParsedDotenv = { values: new Map(), invalidLines: [] };
  const { values } = parsed;
  while (reader.at < reader.text.length) {
    reader.read(blankLines);
    const began = reader.at;
    try {
      const binding = readBinding(reader);
      if (binding === null) continue;
      const { key, value } = binding;
      const known = (name: string): string | null | undefined =>
        values.has(name) ? values.get(name) : Object.hasOwn(env, name) ? env[name] : undefined;
      values.set(key, value === null ? null : interpolated(value, known));
    } catch (error) {
      if (!(error instanceof Unexpected)) throw error;
      reader.read(restOfLine);
      parsed.invalidLines.push(reader.text.slice(0, began).split("\n").length);
    }
  }
  return parsed;
};
