import { describe, expect, test } from "bun:test";
import { frameOf, LogRing } from "../../src/logs/ring.ts";

const TIME = "2025-11-24T00:00:00.000Z";

const numbered = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => `line ${from + n}`);

const append = (ring: LogRing, lines: string[]): void => ring.append({ seq: ring.nextSeq, lines, timestamp: TIME });

const held = (ring: LogRing): string[] => ring.from(ring.firstSeq, 1_000_000).map(({ seq, line }) => `${seq}:${line}`);

describe("the newest lines in memory", () => {
  test("are those that came last, each with its number", () => {
    const ring = new LogRing(3);
    append(ring, ["a", "b"]);
    expect(held(ring)).toEqual(["0:a", "1:b"]);
    append(ring, ["c", "d"]);
    expect(held(ring)).toEqual(["1:b", "2:c", "3:d"]);
    expect([ring.firstSeq, ring.nextSeq]).toEqual([1, 4]);
  });

  test("keep their numbers when more come at once than there is room for", () => {
    const ring = new LogRing(3);
    append(ring, ["x"]);
    append(ring, numbered(1, 10));
    expect(held(ring)).toEqual(["8:line 8", "9:line 9", "10:line 10"]);
  });

  test("go on from the number that they are told", () => {
    const ring = new LogRing(2);
    append(ring, ["old"]);
    ring.restart(100);
    expect([ring.firstSeq, ring.nextSeq, held(ring).length]).toEqual([100, 100, 0]);
    append(ring, ["new"]);
    expect(held(ring)).toEqual(["100:new"]);
  });

  test("are bounded in bytes too: a thousand long lines are not all kept", () => {
    const ring = new LogRing(1000);
    const long = "x".repeat(10 * 1024 * 1024);
    for (let n = 0; n < 8; n++) append(ring, [long]);
    expect(ring.nextSeq).toBe(8);
    expect(ring.nextSeq - ring.firstSeq).toBe(3);
    expect(ring.from(7, 1)[0]?.line.length).toBe(long.length);
  });

  test("even one line that is larger than all the room does not break the numbers", () => {
    const ring = new LogRing(10);
    append(ring, ["a", "x".repeat(33 * 1024 * 1024), "b"]);
    expect(held(ring)).toEqual(["2:b"]);
  });

  test("are given out from a number on, as many as wanted", () => {
    const ring = new LogRing(10);
    append(ring, numbered(0, 8));
    expect(ring.from(2, 3).map(({ seq }) => seq)).toEqual([2, 3, 4]);
    expect(ring.from(8, 3)).toEqual([]);
    expect(ring.from(100, 3)).toEqual([]);
  });

  test("are framed as the contract has it, whatever they hold", () => {
    const line = 'quotes " and \\ and \u0000 and \u001b[0m and \ufffd and \u2028';
    const entry = { seq: 7, timestamp: TIME, line };
    expect(frameOf(entry)).toStartWith('{"seq":7,"timestamp":"2025-11-24T00:00:00.000Z","line":"');
    expect(JSON.parse(frameOf(entry))).toEqual({ seq: 7, timestamp: TIME, line });
  });
});
