import type { BackendEvent, LogReader, SlotProgress } from "../backend.ts";
import { decodeRate } from "../rates.ts";

/** Reads the log of our Python server: lines of `solar: <event> key=value …`, everything else is foreign. */

const MARK = "solar: ";

type Fields = ReadonlyMap<string, string>;

const fieldsOf = (text: string): Fields => {
  const fields = new Map<string, string>();
  for (const word of text.split(" ")) {
    const at = word.indexOf("=");
    if (at > 0) fields.set(word.slice(0, at), word.slice(at + 1));
  }
  return fields;
};

const number = (fields: Fields, name: string): number | null => {
  const text = fields.get(name);
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
};

const whole = (fields: Fields, name: string): number | null => {
  const value = number(fields, name);
  return value !== null && Number.isSafeInteger(value) ? value : null;
};

/** A rate of 0 is what is printed where there was no time to divide by. */
const rate = (fields: Fields, name: string): number | null => number(fields, name) || null;

const share = (value: number | null): number | null => (value === null ? null : Math.min(1, value));

/**
 * The end of a request is a generation if tokens were generated to its end. A classification
 * generates none; one that was broken off would pass for a whole one, since the metrics have no word
 * for how it ended.
 */
const ended = (slot: number, task: number | null, fields: Fields): BackendEvent[] => {
  const reason = fields.get("reason");
  const generated = whole(fields, "generated");
  if ((reason !== "stop" && reason !== "length") || generated === null || generated === 0) {
    return [{ type: "slot-released", slot, task, generation: null }];
  }
  const generation = {
    slot_id: slot,
    task_id: task,
    prompt_tokens: whole(fields, "prompt_tokens"),
    cached_tokens: null,
    generated_tokens: generated,
    decode_tps: rate(fields, "tps"),
    decode_ms_per_token: rate(fields, "ms_per_token"),
  };
  return [{ type: "slot-released", slot, task, generation }];
};

const prefill = (slot: number, task: number | null, fields: Fields): BackendEvent[] => {
  const done = whole(fields, "done");
  const total = whole(fields, "total");
  if (done === null || total === null || total === 0) return [];
  const progress: SlotProgress = {
    phase: "prefill",
    prefill_prompt_tokens: total,
    prefill_progress: share(done / total),
  };
  return [{ type: "slot-progress", slot, task, progress }];
};

const request = (event: string, slot: number, task: number | null, fields: Fields): BackendEvent[] => {
  switch (event) {
    case "request-start": {
      const tokens = whole(fields, "prompt_tokens");
      const progress: SlotProgress = { phase: "prefill", prefill_prompt_tokens: tokens, prefill_progress: 0 };
      return [{ type: "slot-started", slot, task, progress }];
    }
    case "prefill":
      return prefill(slot, task, fields);
    case "generating": {
      const progress: SlotProgress = {
        phase: "generating",
        prefill_progress: null,
        generated_tokens: whole(fields, "tokens"),
        ...decodeRate(number(fields, "tps")),
      };
      return [{ type: "slot-progress", slot, task, progress }];
    }
    case "request-end":
      return ended(slot, task, fields);
    default:
      return [];
  }
};

const read = (line: string): BackendEvent[] => {
  if (!line.startsWith(MARK)) return [];
  const end = line.indexOf(" ", MARK.length);
  const event = (end === -1 ? line.slice(MARK.length) : line.slice(MARK.length, end)).trimEnd();
  const fields = fieldsOf(end === -1 ? "" : line.slice(end + 1).trimEnd());
  switch (event) {
    case "loading":
      return [{ type: "loading", stage: fields.get("stage") ?? null, progress: share(number(fields, "progress")) }];
    case "ready":
      return [{ type: "ready" }];
    case "stopped":
      return [{ type: "all-idle" }];
    default: {
      const slot = whole(fields, "slot");
      return slot === null ? [] : request(event, slot, whole(fields, "task"), fields);
    }
  }
};

/** Each line says all of itself, so there is nothing to keep from one to the next. */
export const createPyserverLogReader = (): LogReader => ({ read });
