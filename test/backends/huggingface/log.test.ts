import { describe, expect, test } from "bun:test";
import { createPyserverLogReader } from "../../../src/backends/huggingface/log.ts";
import { generations, lines, replay } from "../replay.ts";

const read = (text: string) => replay(createPyserverLogReader(), lines(text));

describe("the Python server's log", () => {
  test("tells what is loaded and how far, and when it is ready", () => {
    expect(
      read(`
solar: loading stage=weights progress=0.25
solar: loading stage=ready-check progress=1.00
solar: ready device=cpu dtype=float32 attention=sdpa model_type=llama load_s=1.25`),
    ).toEqual([
      { type: "loading", stage: "weights", progress: 0.25 },
      { type: "loading", stage: "ready-check", progress: 1 },
      { type: "ready" },
    ]);
  });

  test("tells a generation from its prompt to its end", () => {
    expect(
      read(`
solar: request-start task=4 slot=1 kind=chat prompt_tokens=200
solar: prefill task=4 slot=1 done=50 total=200
solar: generating task=4 slot=1 tokens=12 tps=50.00
solar: request-end task=4 slot=1 prompt_tokens=200 generated=31 tps=48.10 ms_per_token=20.79 reason=length`),
    ).toEqual([
      {
        type: "slot-started",
        slot: 1,
        task: 4,
        progress: { phase: "prefill", prefill_prompt_tokens: 200, prefill_progress: 0 },
      },
      {
        type: "slot-progress",
        slot: 1,
        task: 4,
        progress: { phase: "prefill", prefill_prompt_tokens: 200, prefill_progress: 0.25 },
      },
      {
        type: "slot-progress",
        slot: 1,
        task: 4,
        progress: {
          phase: "generating",
          prefill_progress: null,
          generated_tokens: 12,
          decode_tps: 50,
          decode_ms_per_token: 20,
        },
      },
      {
        type: "slot-released",
        slot: 1,
        task: 4,
        generation: {
          slot_id: 1,
          task_id: 4,
          prompt_tokens: 200,
          cached_tokens: null,
          generated_tokens: 31,
          decode_tps: 48.1,
          decode_ms_per_token: 20.79,
        },
      },
    ]);
  });

  test("of a classification is work, but no generation", () => {
    const events = read(`
solar: request-start task=0 slot=0 kind=classify prompt_tokens=9
solar: request-end task=0 slot=0 prompt_tokens=9 generated=0 tps=0.00 ms_per_token=0.00 reason=stop`);
    expect(events.map((event) => event.type)).toEqual(["slot-started", "slot-released"]);
    expect(generations(events)).toEqual([]);
  });

  test("of a classification whose start was not seen is no generation either", () => {
    const end = "solar: request-end task=0 slot=0 prompt_tokens=9 generated=0 tps=0.00 ms_per_token=0.00 reason=stop";
    expect(read(end)).toEqual([{ type: "slot-released", slot: 0, task: 0, generation: null }]);
  });

  test("of a chat in the slot of an earlier classification is a generation", () => {
    const events = read(`
solar: request-start task=0 slot=0 kind=classify prompt_tokens=9
solar: request-start task=1 slot=0 kind=chat prompt_tokens=9
solar: request-end task=1 slot=0 prompt_tokens=9 generated=2 tps=0.00 ms_per_token=0.00 reason=stop`);
    expect(generations(events).map((g) => [g.task_id, g.generated_tokens, g.decode_tps])).toEqual([[1, 2, null]]);
  });

  test("of a request that was cancelled or failed frees its slot and is no generation", () => {
    for (const reason of ["cancelled", "error"]) {
      const end = `solar: request-end task=7 slot=2 prompt_tokens=9 generated=5 tps=9.00 ms_per_token=111.11 reason=${reason}`;
      expect(read(end)).toEqual([{ type: "slot-released", slot: 2, task: 7, generation: null }]);
    }
  });

  test("ends with every slot free", () => {
    expect(read("solar: stopping\nsolar: stopped")).toEqual([{ type: "all-idle" }]);
  });

  test("says nothing by lines that are not whole, or not its own", () => {
    expect(
      read(`
solar: request-start task=1
solar: generating slot=-1 tokens=2 tps=1
solar: generating slot=1.5 tokens=2 tps=1
solar: prefill task=1 slot=0 done=1 total=0
solar: dancing task=1 slot=0
solar:
 solar: ready device=cpu
INFO solar: ready device=cpu
solar: error message=request-end slot=0 reason=stop`),
    ).toEqual([]);
  });
});
