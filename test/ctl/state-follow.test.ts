import { expect, test } from "bun:test";
import type { SlotState } from "../../src/contract/index.ts";
import { changeLines, type SaidSlots } from "../../src/ctl/commands/state.ts";

/** `state -f`: each slot has lines of its own. */

const slot = (slot_id: number, more: Partial<SlotState> = {}): SlotState => ({
  slot_id,
  task_id: 1,
  phase: "generating",
  prefill_progress: null,
  prefill_prompt_tokens: null,
  generated_tokens: null,
  decode_tps: null,
  decode_ms_per_token: null,
  checkpoint_index: null,
  checkpoint_total: null,
  ...more,
});

test("a slot is told of when it changes, one that did not is not repeated, and one that is free says so once", () => {
  const states: SlotState[][] = [
    [],
    [slot(0, { phase: "prefill", prefill_progress: 0.5 })],
    [slot(0, { phase: "prefill", prefill_progress: 0.5 }), slot(3, { generated_tokens: 1 })],
    [slot(0, { generated_tokens: 1, decode_tps: 10 }), slot(3, { generated_tokens: 1 })],
    [slot(3, { generated_tokens: 9 })],
    [slot(3, { generated_tokens: 9 })],
    [],
  ];
  let said: SaidSlots | null = null;
  const told = states.map((slots) => {
    const { lines, said: now } = changeLines("m", said, { slots });
    said = now;
    return lines;
  });
  expect(told).toEqual([
    ["m  idle"],
    ["m  slot 0  prefill  prefill 50%"],
    ["m  slot 3  generating  1 tokens"],
    ["m  slot 0  generating  1 tokens  10.0 tokens/s"],
    ["m  slot 0  idle", "m  slot 3  generating  9 tokens"],
    [],
    ["m  slot 3  idle"],
  ]);
});
