import type { SlotObservation, SlotProgress } from "../backends/index.ts";
import type { SlotState } from "../contract/index.ts";

/** One slot at work: what the API shows of it, and what is needed to go on from there. */
export interface SlotRuntime {
  readonly state: SlotState;
  /** Milliseconds since 1970; null where its start was not seen. */
  readonly startedAt: number | null;
  /** Polls in a row that found it idle. */
  readonly idlePolls: number;
  /** The last poll at which the count of generated tokens had changed: rates are taken from there. */
  readonly counted: { readonly time: number; readonly tokens: number } | null;
}

/** A poll may have been answered before the line that says the slot is at work: one alone frees nothing. */
const IDLE_POLLS_TO_FREE = 2;

const blank = (slot: number, task: number | null): SlotState => ({
  slot_id: slot,
  task_id: task,
  phase: "prefill",
  prefill_progress: null,
  prefill_prompt_tokens: null,
  generated_tokens: null,
  decode_tps: null,
  decode_ms_per_token: null,
  checkpoint_index: null,
  checkpoint_total: null,
});

/** The same object where nothing differs. */
const merged = (state: SlotState, progress: SlotProgress): SlotState => {
  const next = { ...state, ...progress };
  const keys = Object.keys(progress) as (keyof SlotProgress)[];
  return keys.every((key) => next[key] === state[key]) ? state : next;
};

export const started = (slot: number, task: number | null, progress: SlotProgress, time: number): SlotRuntime => ({
  state: merged(blank(slot, task), progress),
  startedAt: time,
  idlePolls: 0,
  counted: null,
});

/** A line of a slot whose start was not seen still says that it is at work. */
export const progressed = (
  current: SlotRuntime | undefined,
  slot: number,
  task: number | null,
  progress: SlotProgress,
): SlotRuntime => {
  const known = current?.state.task_id ?? null;
  if (current === undefined || (task !== null && known !== null && task !== known)) {
    return { state: merged(blank(slot, task), progress), startedAt: null, idlePolls: 0, counted: null };
  }
  const state = merged(current.state, known === null && task !== null ? { task_id: task, ...progress } : progress);
  return state === current.state ? current : { ...current, state };
};

const prefillOf = (state: SlotState, seen: SlotObservation): SlotProgress => {
  const read = seen.promptProcessed === null ? null : seen.promptProcessed + (seen.promptCached ?? 0);
  // In some builds the "total" is what has been read so far: it is one only when it is ahead of that.
  const ahead = seen.promptTokens !== null && read !== null && seen.promptTokens > read ? seen.promptTokens : null;
  const total = state.prefill_prompt_tokens ?? ahead;
  if (total === null || total === 0 || read === null) return {};
  const progress = Math.min(1, read / total);
  return { prefill_prompt_tokens: total, prefill_progress: Math.max(progress, state.prefill_progress ?? 0) };
};

const decodeOf = (current: SlotRuntime, tokens: number, time: number): SlotProgress => {
  const before = current.counted;
  if (before === null || tokens <= before.tokens || time <= before.time) return {};
  const tps = ((tokens - before.tokens) * 1000) / (time - before.time);
  return { decode_tps: tps, decode_ms_per_token: 1000 / tps };
};

/** What a poll at `time` makes of a slot: the same object where it told nothing new, null where it is free. */
export const observe = (current: SlotRuntime, seen: SlotObservation, time: number): SlotRuntime | null => {
  if (!seen.busy) {
    const idlePolls = current.idlePolls + 1;
    return idlePolls >= IDLE_POLLS_TO_FREE ? null : { ...current, idlePolls };
  }
  const { state } = current;
  const known = current.idlePolls === 0 ? current : { ...current, idlePolls: 0 };
  // Another task than the log's: the poll is older or newer than the line, and tells nothing of this one.
  if (seen.task !== null && state.task_id !== null && seen.task !== state.task_id) return known;
  const tokens = seen.generatedTokens;
  if (tokens === null || tokens === 0) {
    if (state.phase !== "prefill") return known;
    const next = merged(state, prefillOf(state, seen));
    return next === state ? known : { ...known, state: next };
  }
  if (state.generated_tokens !== null && tokens < state.generated_tokens) return known;
  const next = merged(state, {
    phase: "generating",
    prefill_progress: null,
    generated_tokens: tokens,
    ...decodeOf(current, tokens, time),
  });
  const counted = current.counted?.tokens === tokens ? current.counted : { time, tokens };
  return next === state && counted === current.counted ? known : { ...known, state: next, counted };
};
