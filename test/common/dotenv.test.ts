import { describe, expect, test } from "bun:test";
import { parseDotenv } from "../../src/common/dotenv.ts";
import table from "../fixtures/dotenv-cases.json";

/** The table holds what the real python-dotenv reads; `dotenv-cases.py` makes it. */

const read = (text: string) => Object.fromEntries(parseDotenv(text, table.environment).values);

describe("the text of a .env file", () => {
  test("has the values that python-dotenv reads from it: comments, quotes, escapes, export, blanks, ends of lines, lines of no sense, other variables", () => {
    for (const { text, values } of table.cases) expect({ text, values: read(text) }).toEqual({ text, values } as never);
    expect(table.cases.length).toBeGreaterThan(700);
  });

  test("has its wrong lines told by number, behind values of several lines too", () => {
    const text = "\ufeffA=1\r\nno sense\r\n\r\nB='two\r\nlines'\r\nC=\"unfinished\r\n# fine\r\n =x\n";
    expect(parseDotenv(text, {}).invalidLines).toEqual([2, 6, 8]);
    expect(read(text)).toEqual({ A: "1", B: "two\nlines" });
  });
});
