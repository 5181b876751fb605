import { expect, test } from "bun:test";
import { createPalette, wantsColor } from "../../src/ctl/io.ts";
import { type Column, fit, layOut, oneLine } from "../../src/ctl/table.ts";

interface Row {
  name: string;
  note: string;
}

const columns: Column<Row>[] = [
  { title: "NAME", value: ({ name }) => name, shrinkTo: 4 },
  { title: "N", value: ({ name }) => String(name.length), align: "right" },
  { title: "NOTE", value: ({ note }) => note, shrinkTo: 4 },
];
const plain = (text: string): string => text;
const lay = (rows: Row[], width = Number.POSITIVE_INFINITY): string[] => layOut(columns, rows, width, plain);

test("columns are aligned, and what is no terminal is neither cut nor padded at the end", () => {
  expect(
    lay([
      { name: "llama-3:8b", note: "" },
      { name: "m", note: "x".repeat(200) },
    ]),
  ).toEqual(["NAME         N  NOTE", "llama-3:8b  10", `m            1  ${"x".repeat(200)}`]);
});

test.each([20, 30, 45, 80])("no line is wider than %d columns", (width) => {
  const lines = lay(
    [
      {
        name: "a-very-long-name-of-an-instance",
        note: "and a reason that is longer than any terminal is wide, by far",
      },
      { name: "模型模型模型模型模型模型", note: "wide characters count twice" },
    ],
    width,
  );
  expect(Math.max(...lines.map((line) => Bun.stringWidth(line)))).toBeLessThanOrEqual(width);
  expect(lines[1]).toContain("…");
});

test("the widest column gives way first", () => {
  const [, line] = lay([{ name: "short", note: "n".repeat(60) }], 40);
  expect(line).toStartWith("short  5  nnn");
});

test("where there is no room for all columns the last ones are left out, and the first one never is", () => {
  const row = [{ name: "a-long-name", note: "note" }];
  expect(lay(row, 9)).toEqual(["NAME    N", "a-lo…  11"]);
  expect(lay(row, 4)).toEqual(["NAME", "a-l…"]);
});

test("a text that fits stays, one that does not ends in an ellipsis", () => {
  expect([fit("abc", 3), fit("abcd", 3), fit("模型", 3), fit("", 0)]).toEqual(["abc", "ab…", "模…", ""]);
});

test("a cell is one line without anything that moves the cursor", () => {
  expect(oneLine("a\u001b[2Jb\tc\r\nsecond")).toBe("a [2Jb c ");
});

test("a column is painted without counting the colour as width", () => {
  const palette = createPalette(true);
  const painted: Column<Row>[] = [
    { title: "NAME", value: ({ name }) => name, paint: () => palette.red },
    ...columns.slice(1),
  ];
  const [, line] = layOut(painted, [{ name: "ab", note: "x" }], Number.POSITIVE_INFINITY, plain);
  expect(line).toBe("\u001b[31mab  \u001b[39m  2  x");
});

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [true, { TERM: "dumb" }, false],
])("terminal %p with %j has colours: %p", (terminal, env, colored) => {
  expect(wantsColor(terminal, env)).toBe(colored);
});

test("spare columns are left out before the others, the last of them first", () => {
  const columns: Column<string>[] = ["A", "B", "C", "D"].map((title) => ({
    title: title.repeat(6),
    value: (row) => row,
    ...(title === "B" || title === "C" ? { spare: true } : {}),
  }));
  const titles = (width: number): string[] =>
    layOut(columns, ["x"], width, (text) => text)[0]
      ?.trim()
      .split(/ +/)
      .map((title) => title.slice(0, 1)) ?? [];
  expect([30, 29, 21, 13, 5].map((width) => titles(width).join(""))).toEqual(["ABCD", "ABD", "AD", "A", "A"]);
});
