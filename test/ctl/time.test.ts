import { expect, test } from "bun:test";
import { formatDuration, parseDuration, parseMoment, since } from "../../src/ctl/time.ts";

test.each([
  ["30", 30_000],
  ["0.5", 500],
  ["0", 0],
  ["250ms", 250],
  ["30s", 30_000],
  ["5m", 300_000],
  ["1h", 3_600_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["2d", 172_800_000],
])("the time %s is %d ms", (text, ms) => {
  expect(parseDuration(text, "--timeout")).toBe(ms);
});

test.each(["", "soon", "-5s", "5 m", "5x", "m5", "1h30", "s"])("'%s' is no time, and the option is named", (text) => {
  expect(() => parseDuration(text, "--timeout")).toThrow(`--timeout '${text}' is no time`);
});

const now = Date.parse("2025-11-24T12:00:00Z");

test.each([
  ["5m", "2025-11-24T11:55:00.000Z"],
  ["90", "2025-11-24T11:58:30.000Z"],
  ["2025-11-24T10:00:00Z", "2025-11-24T10:00:00.000Z"],
  ["2025-11-24T10:00:00.250+02:00", "2025-11-24T08:00:00.250Z"],
  ["1763978400", "2025-11-24T10:00:00.000Z"],
  ["1763978400.5", "2025-11-24T10:00:00.500Z"],
  ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
  ["2025-11-24t10:00z", "2025-11-24T10:00:00.000Z"],
])("the moment %s is %s", (text, expected) => {
  expect(new Date(parseMoment(text, "--since", now)).toISOString()).toBe(expected);
});

test("a moment without a zone, with or without a time of day, is local", () => {
  expect(parseMoment("2025-11-24T10:00:00", "--since", now)).toBe(new Date(2025, 10, 24, 10).getTime());
  expect(parseMoment("2025-11-24 10:00:00", "--since", now)).toBe(new Date(2025, 10, 24, 10).getTime());
  expect(parseMoment("2025-11-24", "--since", now)).toBe(new Date(2025, 10, 24).getTime());
});

test.each([
  "yesterday",
  "2025-13-45",
  "2025-02-29",
  "2025-04-31T10:00:00Z",
  "2025-00-10",
  "2025-11-24T25:00:00Z",
  "24.11.2025",
  "10:00",
])("'%s' is no moment", (text) => {
  expect(() => parseMoment(text, "--since", now)).toThrow(`--since '${text}' is no time`);
});

test.each([
  [0, "0s"],
  [-5000, "0s"],
  [59_999, "59s"],
  [61_000, "1m 01s"],
  [3_661_000, "1h 01m"],
  [90_000_000, "1d 01h"],
])("%d ms are shown as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("a time that there is not, or that is none, is a dash", () => {
  expect([since(null, now), since("never", now), since("2025-11-24T11:59:00Z", now)]).toEqual(["-", "-", "1m 00s"]);
});
