import { describe, expect, test } from "bun:test";
import type { SlotObservation } from "../../../src/backends/index.ts";
import { llamacpp } from "../../../src/backends/llamacpp/index.ts";
import { parseSlots } from "../../../src/backends/llamacpp/slots.ts";
import { llamacppDefinition } from "../../../src/contract/index.ts";
import { recordedJson } from "../replay.ts";

const nothing: Omit<SlotObservation, "slot" | "busy"> = {
  task: null,
  promptTokens: null,
  promptProcessed: null,
  promptCached: null,
  generatedTokens: null,
};

describe("asking a llama-server for its slots", () => {
  test("shows the key of the instance", () => {
    const probe = llamacpp.slotsProbe(
      llamacppDefinition.request.parse({ model: "/x.gguf", alias: "x", api_key: "s3cret" }),
    );
    expect(probe?.path).toBe("/slots");
    expect(probe?.headers).toEqual({ Authorization: "Bearer s3cret" });
  });

  test("finds two slots at work, each with its task and its count (recorded)", async () => {
    const busy = parseSlots(await recordedJson("slots/two-generating.json")).filter((slot) => slot.busy);
    expect(busy).toEqual([
      { slot: 0, busy: true, task: 23, promptTokens: 14, promptProcessed: 12, promptCached: 2, generatedTokens: 20 },
      { slot: 1, busy: true, task: 24, promptTokens: 29, promptProcessed: 29, promptCached: 0, generatedTokens: 20 },
    ]);
  });

  test("does not take what has been put into the slot for the length of the prompt (recorded)", async () => {
    const [slot] = parseSlots(await recordedJson("slots/prefill.json"));
    expect(slot).toEqual({
      slot: 0,
      busy: true,
      task: 0,
      promptTokens: null,
      promptProcessed: 4096,
      promptCached: 0,
      generatedTokens: 0,
    });
  });

  test("finds slots that never ran idle, and nothing more (recorded)", async () => {
    const slots = parseSlots(await recordedJson("slots/idle-never-ran.json"));
    expect(slots).toEqual([0, 1, 2, 3].map((slot) => ({ slot, busy: false, ...nothing })));
  });

  test("finds a slot idle whose task was cancelled, although the task is still named (recorded)", async () => {
    const [slot] = parseSlots(await recordedJson("slots/idle-after-cancel.json"));
    expect([slot?.busy, slot?.task]).toEqual([false, 247]);
  });

  test("reads next_token as an object too", () => {
    const [slot] = parseSlots([{ id: 0, is_processing: true, id_task: 3, next_token: { n_decoded: 7, n_remain: -1 } }]);
    expect(slot).toEqual({ ...nothing, slot: 0, busy: true, task: 3, generatedTokens: 7 });
  });

  test("reads a slot's state as a number where is_processing is missing", () => {
    const slots = parseSlots([
      { id: 0, state: 0, id_task: -1 },
      { id: 1, state: 1, id_task: 5 },
    ]);
    expect(slots.map((slot) => [slot.slot, slot.busy, slot.task])).toEqual([
      [0, false, null],
      [1, true, 5],
    ]);
  });

  test("takes nothing from shapes that it does not know, and loses no other slot by them", () => {
    for (const body of [null, undefined, {}, "slots", 7, { error: { code: 501 } }])
      expect(parseSlots(body)).toEqual([]);
    const odd = [null, [], "x", { id: "0", is_processing: true }, { id: 0 }, { id: 1.5, is_processing: true }];
    expect(parseSlots([...odd, { id: 2, is_processing: true, next_token: [], n_prompt_tokens_cache: "many" }])).toEqual(
      [{ slot: 2, busy: true, ...nothing }],
    );
  });
});
