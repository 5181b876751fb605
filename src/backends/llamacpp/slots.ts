import type { SlotObservation, SlotsProbe } from "../backend.ts";

/** llama-server's `GET /slots`: what each slot does, in the shapes that builds of the last years give it. */

type Json = Record<string, unknown>;

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const count = (value: unknown): number | null =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : null;

/** An object in some builds, an array of one in others, absent in a slot that never ran. */
const nextToken = (slot: Json): Json => {
  const next = Array.isArray(slot.next_token) ? slot.next_token[0] : slot.next_token;
  return isRecord(next) ? next : {};
};

/** `state` is what builds of 2024 had instead: 0 is idle. */
const busyOf = (slot: Json): boolean | null => {
  if (typeof slot.is_processing === "boolean") return slot.is_processing;
  return typeof slot.state === "number" ? slot.state !== 0 : null;
};

/**
 * `n_prompt_tokens` is not the prompt: it is what the slot holds, so it grows batch by batch and then
 * token by token (measured in build 11669). The prompt is whole once the first token was generated,
 * and then it is what was read and what was in the cache.
 */
const observation = (slot: unknown): SlotObservation | null => {
  if (!isRecord(slot)) return null;
  const id = count(slot.id);
  const busy = busyOf(slot);
  if (id === null || busy === null) return null;
  const generated = count(nextToken(slot).n_decoded);
  const processed = count(slot.n_prompt_tokens_processed);
  const cached = count(slot.n_prompt_tokens_cache);
  const whole = generated !== null && generated > 0 && processed !== null && cached !== null;
  return {
    slot: id,
    busy,
    task: count(slot.id_task),
    promptTokens: whole ? processed + cached : null,
    promptProcessed: processed,
    promptCached: cached,
    generatedTokens: generated,
  };
};

export const parseSlots = (body: unknown): SlotObservation[] =>
  Array.isArray(body) ? body.map(observation).filter((seen) => seen !== null) : [];

export const slotsProbe = (apiKey: string): SlotsProbe => ({
  path: "/slots",
  headers: { Authorization: `Bearer ${apiKey}` },
  parse: parseSlots,
});
