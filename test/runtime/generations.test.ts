import { describe, expect, test } from "bun:test";
import { parseTimestamp } from "../../src/common/time.ts";
import type { GenerationMetrics } from "../../src/contract/index.ts";
import { selectGeneration } from "../../src/runtime/generations.ts";

const NOW = Date.parse("2026-01-01T12:00:00.000Z");

const ended = (task: number, secondsAgo: number): GenerationMetrics => ({
  instance_id: "i-1",
  slot_id: 0,
  task_id: task,
  prompt_tokens: 1,
  cached_tokens: 0,
  generated_tokens: 1,
  decode_tps: null,
  decode_ms_per_token: null,
  started_at: new Date(NOW - secondsAgo * 1000 - 500).toISOString(),
  finished_at: new Date(NOW - secondsAgo * 1000).toISOString(),
});

const two = [ended(1, 60), ended(2, 30)];

describe("the last generation", () => {
  test("is the newest one", () => {
    expect(selectGeneration(two, {}, NOW)).toEqual({ found: true, generation: ended(2, 30) });
  });

  test("is missing where there was none, whatever was asked for", () => {
    const detail = "No generation metrics available";
    expect(selectGeneration([], {}, NOW)).toEqual({ found: false, detail });
    expect(selectGeneration([], { after: 0, withinS: 1 }, NOW)).toEqual({ found: false, detail });
  });

  test("must have finished after the timestamp, and may have done so in that very millisecond", () => {
    expect(selectGeneration(two, { after: NOW - 30_000 }, NOW).found).toBe(true);
    expect(selectGeneration(two, { after: NOW - 29_999 }, NOW)).toEqual({
      found: false,
      detail: "No generation metrics after the specified timestamp",
    });
  });

  test("must have finished within the window", () => {
    expect(selectGeneration(two, { withinS: 30 }, NOW).found).toBe(true);
    expect(selectGeneration(two, { withinS: 29 }, NOW)).toEqual({
      found: false,
      detail: "No recent generation metrics within the specified window",
    });
  });
});

describe("the timestamp of ?after=", () => {
  const noon = Date.parse("2026-01-01T12:00:00.123Z");

  test("is read in every form that clients send", () => {
    for (const text of [
      "2026-01-01T12:00:00.123Z",
      "2026-01-01T12:00:00.123456Z",
      "2026-01-01T12:00:00.123+00:00",
      "2026-01-01 12:00:00.123z",
      "2026-01-01T14:00:00.123+02:00",
      "2026-01-01T07:00:00.123-0500",
    ]) {
      expect([text, parseTimestamp(text)]).toEqual([text, noon]);
    }
  });

  test("is UTC without a zone, wherever the host stands", () => {
    expect(parseTimestamp("2026-01-01T12:00:00.123456")).toBe(noon);
    expect(parseTimestamp("2026-01-01")).toBe(Date.parse("2026-01-01T00:00:00Z"));
  });

  test("may have lost the plus of its zone to the URL", () => {
    expect(parseTimestamp("2026-01-01T14:00:00.123 02:00")).toBe(noon);
  });

  test("is none where it is no time", () => {
    for (const text of ["", "yesterday", "1767268800", "2026-13-01T00:00:00Z", "2026-01-01T99:00:00Z", "12:00:00"]) {
      expect([text, parseTimestamp(text)]).toEqual([text, null]);
    }
  });
});
