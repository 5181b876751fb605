import { expect, test } from "bun:test";
import type { LogLine } from "../../src/contract/index.ts";
import { harmless } from "../../src/ctl/foreign-text.ts";
import { type LogLook, LogPrinter, type LogSource } from "../../src/ctl/log-printer.ts";
import { fakeIo } from "./fake-io.ts";

const line = (seq: number, text: string): LogLine => ({ seq, timestamp: "2025-11-24T10:00:00.000Z", line: text });
const one: LogSource[] = [{ id: "a", name: "llama" }];
const two: LogSource[] = [...one, { id: "b", name: "m" }];
const plain: LogLook = { json: false, timestamps: false, grep: null };

/** What is printed of lines of these instances. */
const printed = (
  look: Partial<LogLook>,
  sources: LogSource[],
  lines: [id: string, line: LogLine][],
  io = fakeIo(),
): string => {
  const printer = new LogPrinter(io, { ...plain, ...look }, sources);
  for (const [id, entry] of lines) printer.print(id, entry);
  printer.flush();
  return io.out;
};

test("a line alone is the line as it is, control characters too where no terminal reads it", () => {
  expect(printed({}, one, [["a", line(0, "\u001b[2Jx\ty")]])).toBe("\u001b[2Jx\ty\n");
});

test("with several, each has its name before it, aligned", () => {
  expect(
    printed({}, two, [
      ["a", line(0, "x")],
      ["b", line(7, "y")],
    ]),
  ).toBe("llama | x\nm     | y\n");
});

test("names have colours of their own on a terminal", () => {
  const io = fakeIo({ terminal: true, color: true });
  const [first = "", second = ""] = printed(
    {},
    two,
    [
      ["a", line(0, "x")],
      ["b", line(0, "y")],
    ],
    io,
  ).split("\n");
  const color = (text: string): string | undefined => text.split("[", 2)[1]?.split("m", 1)[0];
  expect(color(first)).toBeDefined();
  expect(color(second)).toBeDefined();
  expect(color(first)).not.toBe(color(second));
});

test("JSON is {seq, timestamp, line}, and names the instance only where there are several", () => {
  expect(JSON.parse(printed({ json: true }, one, [["a", line(3, "x")]]))).toEqual(line(3, "x"));
  expect(JSON.parse(printed({ json: true }, two, [["b", line(3, "x")]]))).toEqual({
    instance_id: "b",
    ...line(3, "x"),
  });
});

test("timestamps stand before the line, and a pattern leaves out what it does not find", () => {
  const lines: [string, LogLine][] = [
    ["a", line(0, "one error")],
    ["a", line(1, "two")],
  ];
  expect(printed({ timestamps: true, grep: /error/ }, one, lines)).toBe("2025-11-24T10:00:00.000Z one error\n");
});

test("what comes in one turn is one write", async () => {
  const writes: string[] = [];
  const io = { ...fakeIo(), write: (text: string) => void writes.push(text) };
  const printer = new LogPrinter(io, plain, one);
  for (let seq = 0; seq < 1000; seq++) printer.print("a", line(seq, "x"));
  expect(writes).toEqual([]);
  await new Promise((done) => setImmediate(done));
  expect(writes).toEqual(["x\n".repeat(1000)]);
});

test.each([
  ["colours stay", "\u001b[1;31mred\u001b[0m", "\u001b[1;31mred\u001b[0m"],
  ["tabs stay", "a\tb", "a\tb"],
  ["the screen is not cleared", "a\u001b[2J\u001b[Hb", "ab"],
  ["the title is not set", "a\u001b]0;title\u0007b\u001b]2;t\u001b\\c", "abc"],
  ["a lone escape and a bell are left out", "a\u001bb\u0007c\u009b2Jd", "abc2Jd"],
  ["a carriage return does not overwrite the line", "long\rx", "longx"],
])("on a terminal %s", (_, text, shown) => {
  expect(harmless(text, true)).toBe(shown);
});

test("without colours a line's own are left out too", () => {
  expect(harmless("\u001b[1;31mred\u001b[0m", false)).toBe("red");
});
