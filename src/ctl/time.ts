import { z } from "zod";
import { usageError } from "./errors.ts";

/** Times as people write and read them. */

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const WHOLE = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;

const durationOf = (text: string): number | null => {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * UNITS.s;
  if (!WHOLE.test(text)) return null;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(PART)) sum += Number(amount) * UNITS[unit as keyof typeof UNITS];
  return sum;
};

/** Milliseconds of `30`, `30s`, `5m`, `1h30m`. @throws usage error naming the option */
export const parseDuration = (text: string, option: string): number => {
  const duration = durationOf(text);
  if (duration === null) throw usageError(`${option} '${text}' is no time`, "write seconds (30) or 30s, 5m, 1h30m, 2d");
  return duration;
};

/** A time with a date, and with a zone where it has a time of day. */
const RFC_3339 = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?$/;

/** Whether the date is in the calendar; others would be read as a day of the next month. */
const isDay = (text: string): boolean => z.iso.date().safeParse(text.slice(0, 10)).success;

/**
 * A moment, in ms since 1970: a duration counts back from `now`, or on from it, a time without a zone is local, and a
 * number as long as a Unix time is one.
 * @throws usage error naming the option
 */
export const parseMoment = (text: string, option: string, now: number, counts: "back" | "on" = "back"): number => {
  if (/^\d{10}(?:\.\d+)?$/.test(text)) return Number(text) * UNITS.s;
  const duration = durationOf(text);
  if (duration !== null) return counts === "back" ? now - duration : now + duration;
  // A date alone would be read as UTC, and a time as local: both are local here.
  const full = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text.replace(" ", "T").toUpperCase();
  const moment = RFC_3339.test(text) && isDay(text) ? Date.parse(full) : Number.NaN;
  if (Number.isNaN(moment)) {
    throw usageError(
      `${option} '${text}' is no time`,
      counts === "back"
        ? "write how long ago (30s, 5m, 1h) or when (2025-11-24T10:00:00Z, 2025-11-24, 1763978400)"
        : "write for how long (12h, 30d) or until when (2027-01-31T12:00:00Z, 2027-01-31)",
    );
  }
  return moment;
};

/** `12s`, `4m 10s`, `3h 05m`, `6d 02h`. */
export const formatDuration = (ms: number): string => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two(Math.floor((seconds % 3600) / 60))}m`;
  return `${Math.floor(seconds / 86_400)}d ${two(Math.floor((seconds % 86_400) / 3600))}h`;
};

/** How long ago a time of the API was, by this machine's clock. */
export const since = (time: string | null, now: number): string => {
  const moment = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(moment) ? "-" : formatDuration(now - moment);
};
