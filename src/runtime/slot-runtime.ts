import { decodeRate, type SlotObservation, type SlotProgress } from "../backends/index.ts";
import type { SlotState } from "../contract/index.ts";

/** One slot at work: what the API shows of it, and what is needed to go on from there. */
export interface SlotRuntime {
  readonly state: SlotState;
  /** Milliseconds since 1970; null where its start was not seen. */
  readonly startedAt: number | null;
}

/** What polls of one task have to remember; the API does not show it. */
export interface PollMemory {
  readonly task: number | null;
  /** Polls in a row that found the slot idle. */
  readonly idle: number;
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

/** The same object where nothing differs. Of a prompt whose reading was followed all is read at the first token. */
const merged = (state: SlotState, progress: SlotProgress): SlotState => {
  const isRead = progress.phase === "generating" && progress.prefill_progress === undefined;
  const read = isRead && state.prefill_progress !== null ? { prefill_progress: 1 } : {};
  const next = { ...state, ...progress, ...read };
  const keys = Object.keys({ ...progress, ...read }) as (keyof SlotProgress)[];
  return keys.every((key) => next[key] === state[key]) ? state : next;
};

export const started = (slot: number, task: number | null, progress: SlotProgress, time: number): SlotRuntime => ({
  state: merged(blank(slot, task), progress),
  startedAt: time,
});

/**
 * A poll may have seen more than the line that comes after it: what was said to be generated is not
 * taken back.
 */
const notBack = (state: SlotState, progress: SlotProgress): SlotProgress => {
  const { phase, prefill_progress, generated_tokens, ...rest } = progress;
  if (phase === "prefill" && state.phase === "generating") return rest;
  const behind = typeof generated_tokens === "number" && generated_tokens < (state.generated_tokens ?? 0);
  return behind ? { ...progress, generated_tokens: state.generated_tokens } : progress;
};

/** What a line says of a slot at work; a slot whose start was not seen is at work too. */
export const progressed = (
  current: SlotRuntime | undefined,
  slot: number,
  task: number | null,
  progress: SlotProgress,
): SlotRuntime => {
  const known = current?.state.task_id ?? null;
  if (current === undefined || (task !== null && known !== null && task !== known)) {
    return { state: merged(blank(slot, task), progress), startedAt: null };
  }
  const told = notBack(current.state, progress);
  const state = merged(current.state, known === null && task !== null ? { task_id: task, ...told } : told);
  return state === current.state ? current : { ...current, state };
};

/** Progress is only known where the log told how long the prompt is, and never goes back. */
const prefillOf = (state: SlotState, seen: SlotObservation): SlotProgress => {
  const total = state.prefill_prompt_tokens;
  if (total === null || total === 0 || seen.promptProcessed === null) return {};
  const progress = Math.min(1, (seen.promptProcessed + (seen.promptCached ?? 0)) / total);
  return { prefill_progress: Math.max(progress, state.prefill_progress ?? 0) };
};

/** By the difference to the last poll that saw another count: a poll between two tokens is no standstill. */
const decodeOf = (before: PollMemory["counted"], tokens: number, time: number): SlotProgress => {
  if (before === null || tokens <= before.tokens || time <= before.time) return {};
  return decodeRate(((tokens - before.tokens) * 1000) / (time - before.time));
};

/**
 * What a poll at `time`, of a clock that only ever grows, makes of a slot's state: the very same one where it told nothing new, null
 * where the slot is free. `memory` is what the poll before gave.
 */
export const observe = (
  state: SlotState,
  memory: PollMemory | undefined,
  seen: SlotObservation,
  time: number,
): { state: SlotState | null; memory: PollMemory } => {
  const task = state.task_id;
  const before = memory?.task === task ? memory : { task, idle: 0, counted: null };
  if (!seen.busy) {
    const idle = before.idle + 1;
    return { state: idle >= IDLE_POLLS_TO_FREE ? null : state, memory: { ...before, idle } };
  }
  const known = { ...before, idle: 0 };
  // Another task than the log's: the poll is older or newer than the line, and tells nothing of this one.
  if (seen.task !== null && task !== null && seen.task !== task) return { state, memory: known };
  const tokens = seen.generatedTokens;
  if (tokens === null || tokens === 0) {
    return { state: state.phase === "prefill" ? merged(state, prefillOf(state, seen)) : state, memory: known };
  }
  // The log is further on than the poll.
  if (tokens < (state.generated_tokens ?? 0)) return { state, memory: known };
  const next = merged(state, {
    phase: "generating",
    prefill_prompt_tokens: seen.promptTokens ?? state.prefill_prompt_tokens,
    generated_tokens: tokens,
    ...decodeOf(before.counted, tokens, time),
  });
  const counted = before.counted?.tokens === tokens ? before.counted : { time, tokens };
  return { state: next, memory: { ...known, counted } };
};
