import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { LineSplitter, MAX_LINE_BYTES } from "../../src/logs/splitter.ts";
import { below, seeded } from "../support/random.ts";

setDefaultTimeout(60_000);

const split = (chunks: readonly Buffer[], maxLineBytes?: number): { lines: string[]; offsets: number[] } => {
  const splitter = new LineSplitter(0, maxLineBytes);
  const lines: string[] = [];
  const offsets: number[] = [];
  for (const chunk of chunks) {
    // The follower reads into one buffer again and again, so what is kept must be a copy.
    const reused = Buffer.from(chunk);
    lines.push(...splitter.push(reused));
    reused.fill(0x21);
    offsets.push(splitter.nextLineOffset);
  }
  lines.push(...splitter.flush());
  offsets.push(splitter.nextLineOffset);
  return { lines, offsets };
};

const texts = (...parts: string[]): string[] => split(parts.map((part) => Buffer.from(part))).lines;

/** Byte by byte, as slowly and plainly as it can be said. */
const plainly = (bytes: Buffer, maxLineBytes: number): { lines: string[]; starts: number[] } => {
  const lines: string[] = [];
  const starts: number[] = [];
  let start = 0;
  const take = (end: number, next: number): void => {
    lines.push(bytes.toString("utf8", start, end));
    starts.push(start);
    start = next;
  };
  for (let at = 0; at < bytes.length; at++) {
    if (at - start === maxLineBytes) take(at, at);
    if (bytes[at] === 0x0a) take(at, at + 1);
    else if (bytes[at] === 0x0d) {
      const pair = bytes[at + 1] === 0x0a;
      take(at, at + (pair ? 2 : 1));
      if (pair) at += 1;
    }
  }
  if (start < bytes.length) take(bytes.length, bytes.length);
  return { lines, starts };
};

/** Line ends, halves of characters, bytes that are no text, and a byte order mark, all thicker than in life. */
const pieces = [
  "\n",
  "\r",
  "\r\n",
  "\n\r",
  "a",
  "long word ",
  "\0",
  "é",
  "日本",
  "😀",
  "\u001b[31m",
  Buffer.from([0xff]),
  Buffer.from([0xe6, 0x97]),
  Buffer.from([0xf0, 0x9f, 0x98]),
  Buffer.from([0xef, 0xbb, 0xbf]),
  Buffer.from([0xed, 0xa0, 0x80]),
];

const randomBytes = (random: () => number): Buffer =>
  Buffer.concat(
    Array.from({ length: below(random, 40) }, () => Buffer.from(pieces[below(random, pieces.length)] ?? "")),
  );

const randomChunks = (random: () => number, bytes: Buffer): Buffer[] => {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + below(random, random() < 0.5 ? 3 : 50);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
};

describe("bytes become lines", () => {
  test("at each kind of line end, the empty ones too", () => {
    expect(texts("a\nb\r\nc\rd\n\n\r\re\n")).toEqual(["a", "b", "c", "d", "", "", "", "e"]);
  });

  test("a progress bar's updates are lines of their own", () => {
    expect(texts("10%\r20%\r30%\ndone\n")).toEqual(["10%", "20%", "30%", "done"]);
  });

  test("a line end that is cut in two is one line end", () => {
    expect(texts("a\r", "\nb\r", "c\r", "\n")).toEqual(["a", "b", "c"]);
  });

  test("a last line without an end is a line, and no line is made where there is none", () => {
    expect(texts("a\nb")).toEqual(["a", "b"]);
    expect(texts("a\n")).toEqual(["a"]);
    expect(texts("a\r")).toEqual(["a"]);
    expect(texts("")).toEqual([]);
  });

  test("bytes that are no UTF-8 are shown as what they are not, and lose no neighbour", () => {
    const { lines } = split([Buffer.from([0x61, 0xff, 0x62, 0x0a, 0x00, 0x63, 0x0a])]);
    expect(lines).toEqual(["a\ufffdb", "\0c"]);
  });

  test("a character that is cut in two by a chunk is whole", () => {
    const bytes = Buffer.from("日本😀\n");
    for (let at = 1; at < bytes.length; at++) {
      expect(split([bytes.subarray(0, at), bytes.subarray(at)]).lines).toEqual(["日本😀"]);
    }
  });

  test("gives the same lines and places whatever the chunks are", () => {
    const random = seeded(20_251_124);
    for (let round = 0; round < 4000; round++) {
      const bytes = randomBytes(random);
      // Now and then lines are cut by force: the limit is small here, so that it is met.
      const max = random() < 0.5 ? 1 + below(random, 12) : MAX_LINE_BYTES;
      const expected = plainly(bytes, max);
      const chunks = randomChunks(random, bytes);
      const shown = { max, chunks: chunks.map((chunk) => chunk.toString("latin1")) };
      const { lines, offsets } = split(chunks, max);
      expect({ ...shown, lines }).toEqual({ ...shown, lines: expected.lines });
      const places = new Set([...expected.starts, bytes.length]);
      expect({ ...shown, wrong: offsets.filter((offset) => !places.has(offset)) }).toEqual({ ...shown, wrong: [] });
    }
  });

  test("a line of 10 MB is one line", () => {
    const long = Buffer.alloc(10_000_000, "x");
    const chunks = Array.from({ length: 40 }, (_, n) => long.subarray(n * 250_000, (n + 1) * 250_000));
    const { lines } = split([...chunks, Buffer.from("\nnext\n")]);
    expect(lines.map((line) => line.length)).toEqual([10_000_000, 4]);
  });

  test("a stream without line ends is cut every 16 MiB and never held in memory beyond that", () => {
    const splitter = new LineSplitter(0);
    const chunk = Buffer.alloc(1024 * 1024, "x");
    let lines = 0;
    for (let n = 0; n < 40; n++) {
      for (const line of splitter.push(chunk)) {
        expect(line.length).toBe(MAX_LINE_BYTES);
        lines += 1;
      }
      expect(splitter.unfinishedBytes).toBeLessThan(MAX_LINE_BYTES);
    }
    expect(lines).toBe(2);
    expect(splitter.nextLineOffset).toBe(2 * MAX_LINE_BYTES);
  });
});
