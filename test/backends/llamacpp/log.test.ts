import { describe, expect, test } from "bun:test";
import { createLlamaLogReader } from "../../../src/backends/llamacpp/log.ts";
import { generations, lines, ofSlot, recorded, replay } from "../replay.ts";

const read = (text: string) => replay(createLlamaLogReader(), lines(text));

describe("a recorded session of build 11669", () => {
  test("gives each generation the figures that the server answered its client with", async () => {
    const found = generations(replay(createLlamaLogReader(), await recorded("session.log")));
    expect(found.map((g) => [g.slot_id, g.task_id, g.prompt_tokens, g.cached_tokens, g.generated_tokens])).toEqual([
      [0, 1, 63, 0, 20],
      [0, 23, 14, 2, 60],
      [1, 24, 29, 0, 220],
      [2, 314, 178, 0, 10],
      [2, 325, 186, 178, 10],
      [2, 336, 186, 185, 10],
      [2, 347, 7, 2, 600],
    ]);
  });

  test("as JSON lines tells the same", async () => {
    const plain = await recorded("session.log");
    const json = plain.map((line, time) =>
      JSON.stringify({ type: "log", time, level: "info", msg: `${line.replace(/^[\d.]+ [A-Z] /, "")}\n` }),
    );
    expect(json[0]).toStartWith('{"type":"log","time":0,');
    expect(replay(createLlamaLogReader(), json)).toEqual(replay(createLlamaLogReader(), plain));
    expect(
      replay(
        createLlamaLogReader(),
        json.map((line) => line.slice(0, -3)),
      ),
    ).toEqual([]);
  });

  test("gives each generation the speed of decoding, not that of reading the prompt", async () => {
    const [first] = generations(replay(createLlamaLogReader(), await recorded("session.log")));
    expect([first?.decode_tps, first?.decode_ms_per_token]).toEqual([90.16, 11.09]);
  });

  test("reports a generation that its client dropped as released, and as no generation", async () => {
    const events = replay(createLlamaLogReader(), await recorded("session.log"));
    expect(events.filter((event) => "task" in event && event.task === 247)).toEqual([
      { type: "slot-started", slot: 0, task: 247, progress: { phase: "prefill" } },
      { type: "slot-released", slot: 0, task: 247, generation: null },
    ]);
  });

  test("tells how far a generation of seconds has come, with the speed of the last seconds", async () => {
    const events = ofSlot(replay(createLlamaLogReader(), await recorded("session.log")), 2);
    const progress = events.flatMap((event) => (event.type === "slot-progress" ? [event.progress] : []));
    expect(progress.map((p) => [p.phase, p.generated_tokens, p.decode_tps])).toEqual([
      ["generating", 246, 81.55],
      ["generating", 426, 59.81],
      ["generating", 586, 53.18],
    ]);
  });

  test("tells how far the reading of a long prompt has come, and nothing of one that was refused or dropped", async () => {
    const events = replay(createLlamaLogReader(), await recorded("long-prompt.log"));
    const progress = ofSlot(events, 0).flatMap((event) => (event.type === "slot-progress" ? [event.progress] : []));
    expect(progress).toEqual([
      { phase: "prefill", prefill_progress: 0.42 },
      { phase: "prefill", prefill_progress: 0.85 },
    ]);
    expect(generations(events).map((g) => [g.slot_id, g.prompt_tokens, g.generated_tokens])).toEqual([[0, 4842, 20]]);
    expect(ofSlot(events, 1).at(-1)).toEqual({ type: "slot-released", slot: 1, task: 63, generation: null });
    expect(ofSlot(events, 2).at(-1)).toEqual({ type: "slot-released", slot: 2, task: 250, generation: null });
  });

  test("at -lv 4 knows the prompt's length before it is read, and gives the same figures", async () => {
    const events = replay(createLlamaLogReader(), await recorded("verbose-4.log"));
    expect(ofSlot(events, 0)[1]).toEqual({
      type: "slot-progress",
      slot: 0,
      task: 1,
      progress: { phase: "prefill", prefill_prompt_tokens: 63, prefill_progress: 0 },
    });
    expect(generations(events).map((g) => [g.task_id, g.prompt_tokens, g.cached_tokens, g.generated_tokens])).toEqual([
      [1, 63, 0, 11],
      [15, 14, 0, 60],
      [14, 29, 0, 220],
      [296, 178, 0, 10],
      [307, 186, 178, 10],
      [318, 186, 185, 10],
    ]);
  });

  test("says when it is ready, once, and what it loads until then", async () => {
    const events = replay(createLlamaLogReader(), await recorded("verbose-4.log"));
    expect(events.filter((event) => event.type === "ready")).toHaveLength(1);
    const stages = events.flatMap((event) => (event.type === "loading" ? [event.stage] : []));
    expect(stages).toEqual([
      "loading model",
      "loading tensors",
      "creating context",
      "warming up",
      "initializing slots",
    ]);
    expect(events.findIndex((event) => event.type === "ready")).toBe(stages.length);
  });

  test("says nothing at all of a model that did not load, but what was being loaded", async () => {
    const events = replay(createLlamaLogReader(), await recorded("model-corrupt.log"));
    expect(events).toEqual([{ type: "loading", stage: "loading model", progress: null }]);
  });
});

describe("older builds", () => {
  test("of spring 2026: the figures below a print_timing line belong to the slot that it names", async () => {
    const events = replay(createLlamaLogReader(), await recorded("older/2026-spring.log"));
    expect(generations(events)).toEqual([
      {
        slot_id: 0,
        task_id: 7,
        prompt_tokens: 612,
        cached_tokens: 0,
        generated_tokens: 10,
        decode_tps: 100,
        decode_ms_per_token: 10,
      },
      {
        slot_id: 1,
        task_id: 9,
        prompt_tokens: 12,
        cached_tokens: 0,
        generated_tokens: 20,
        decode_tps: 100,
        decode_ms_per_token: 10,
      },
    ]);
  });

  test("of spring 2026: prefill, checkpoints, and the end of the prompt", async () => {
    const events = ofSlot(replay(createLlamaLogReader(), await recorded("older/2026-spring.log")), 0);
    const progress = events.flatMap((event) =>
      event.type === "slot-progress" && event.task === 7 ? [event.progress] : [],
    );
    expect(progress).toEqual([
      { phase: "prefill", prefill_prompt_tokens: 612, prefill_progress: 0 },
      { phase: "prefill", prefill_progress: 512 / 612 },
      { phase: "prefill", prefill_progress: 1 },
      { phase: "generating", prefill_progress: 1, generated_tokens: 0 },
      { checkpoint_index: 1, checkpoint_total: 8 },
      // The timing lines come before the release.
      { phase: "generating", generated_tokens: 10, decode_tps: 100, decode_ms_per_token: 10 },
    ]);
  });

  test("of spring 2026: a cancelled generation is released as none", async () => {
    const events = replay(createLlamaLogReader(), await recorded("older/2026-spring.log"));
    expect(ofSlot(events, 0).at(-1)).toEqual({ type: "slot-released", slot: 0, task: 30, generation: null });
  });

  test("of summer 2026: a cached prompt counts as a whole", async () => {
    const [generation] = generations(replay(createLlamaLogReader(), await recorded("older/2026-june.log")));
    expect([generation?.prompt_tokens, generation?.cached_tokens, generation?.generated_tokens]).toEqual([
      958, 957, 200,
    ]);
  });

  test("of 2025: a slot is free at its release, and its figures, which come later, are still its own", async () => {
    const events = replay(createLlamaLogReader(), await recorded("older/2025.log"));
    const ends = events.flatMap((event) => (event.type === "slot-released" ? [event] : []));
    expect(ends.map((event) => [event.task, event.generation?.prompt_tokens, event.generation?.cached_tokens])).toEqual(
      [
        [0, undefined, undefined],
        [0, 50, 0],
        [21, undefined, undefined],
        [21, 50, 49],
        [32, undefined, undefined],
      ],
    );
  });

  test("of 2025: what came from the cache counts as read", async () => {
    const events = replay(createLlamaLogReader(), await recorded("older/2025.log"));
    const progress = events.flatMap((event) =>
      event.type === "slot-progress" && event.task === 21 ? [event.progress.prefill_progress] : [],
    );
    expect(progress).toEqual([0, 1, 1]);
  });

  test("are ready when their slots are idle for the first time", () => {
    expect(read("srv  update_slots: all slots are idle\nsrv  update_slots: all slots are idle")).toEqual([
      { type: "ready" },
      { type: "all-idle" },
    ]);
  });

  test("an HTTP server that listens before the model is loaded is not ready", () => {
    expect(read("main: HTTP server is listening, hostname: 127.0.0.1, port: 3500, http threads: 3")).toEqual([]);
  });
});

describe("timings", () => {
  test("of two slots that end side by side go to the slot that each line names", () => {
    const found = generations(
      read(`
0.02.1 nothing
0.00.010.000 I slot launch_slot_: id  0 | task 5 | processing task, is_child = 0
0.00.011.000 I slot launch_slot_: id  1 | task 6 | processing task, is_child = 0
0.01.000.000 I slot print_timing: id  0 | task 5 | prompt eval time =      10.00 ms /    30 tokens (    0.33 ms per token,  3000.00 tokens per second)
0.01.000.001 I slot print_timing: id  1 | task 6 | prompt eval time =      20.00 ms /    40 tokens (    0.50 ms per token,  2000.00 tokens per second)
0.01.000.002 I slot print_timing: id  0 | task 5 |        eval time =     100.00 ms /    11 tokens (   10.00 ms per token,   100.00 tokens per second)
0.01.000.003 I slot print_timing: id  1 | task 6 |        eval time =     400.00 ms /    21 tokens (   20.00 ms per token,    50.00 tokens per second)
0.01.000.004 I slot      release: id  1 | task 6 | stop processing: n_tokens = 60, truncated = 0
0.01.000.005 I slot      release: id  0 | task 5 | stop processing: n_tokens = 40, truncated = 0`),
    );
    expect(found.map((g) => [g.slot_id, g.prompt_tokens, g.generated_tokens, g.decode_tps])).toEqual([
      [1, 40, 21, 50],
      [0, 30, 11, 100],
    ]);
  });

  test("of the prompt alone are no generation", () => {
    expect(
      read(`
slot launch_slot_: id  0 | task 1 | processing task
slot print_timing: id  0 | task 1 |
prompt eval time =      50.00 ms /    12 tokens (    4.17 ms per token,   240.00 tokens per second)
slot      release: id  0 | task 1 | stop processing: n_tokens = 12, truncated = 0`).at(-1),
    ).toEqual({ type: "slot-released", slot: 0, task: 1, generation: null });
  });

  test("of one token have no speed", () => {
    const [generation] = generations(
      read(`
0.00.294.019 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0
0.00.491.548 I slot print_timing: id  0 | task 0 | prompt eval time =     197.46 ms /    11 tokens (   17.95 ms per token,    55.71 tokens per second)
0.00.491.603 I slot print_timing: id  0 | task 0 |        eval time =       0.00 ms /     1 tokens (    0.00 ms per token,     0.00 tokens per second)
0.00.493.003 I slot      release: id  0 | task 0 | stop processing: n_tokens = 11, truncated = 0`),
    );
    expect(generation).toEqual({
      slot_id: 0,
      task_id: 0,
      prompt_tokens: 11,
      cached_tokens: 0,
      generated_tokens: 1,
      decode_tps: null,
      decode_ms_per_token: null,
    });
  });

  test("that are infinite or not a number are no speed either", () => {
    const [generation] = generations(
      read(`
slot launch_slot_: id  0 | task 0 | processing task
slot print_timing: id  0 | task 0 |
prompt eval time =       0.00 ms /     1 tokens (    0.00 ms per token,      inf tokens per second)
       eval time =       0.00 ms /     1 runs   (     -nan ms per token,      inf tokens per second)
slot      release: id  0 | task 0 | stop processing: n_tokens = 1, truncated = 0`),
    );
    expect([generation?.generated_tokens, generation?.decode_tps, generation?.decode_ms_per_token]).toEqual([
      1,
      null,
      null,
    ]);
  });

  test("without a slot's line above them are of no slot", () => {
    expect(
      read(`
       eval time =     100.00 ms /    10 tokens (   10.00 ms per token,   100.00 tokens per second)
slot      release: id  0 | task 1 | stop processing: n_tokens = 12, truncated = 0`),
    ).toEqual([{ type: "slot-released", slot: 0, task: 1, generation: null }]);
  });

  test("of one task are not kept for the next one in the slot", () => {
    expect(
      read(`
slot launch_slot_: id  0 | task 1 | processing task
slot print_timing: id  0 | task 1 |        eval time =     100.00 ms /    10 tokens (   10.00 ms per token,   100.00 tokens per second)
slot launch_slot_: id  0 | task 2 | processing task
slot      release: id  0 | task 2 | stop processing: n_tokens = 12, truncated = 0`).at(-1),
    ).toEqual({ type: "slot-released", slot: 0, task: 2, generation: null });
  });
});

describe("the length of a prompt that is not printed", () => {
  const ending = (middle: string, held: number) =>
    generations(
      read(`
0.00.096.897 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0
${middle}
0.00.729.008 I slot print_timing: id  0 | task 0 | prompt eval time =      59.54 ms /   112 tokens (    0.53 ms per token,  1881.12 tokens per second)
0.00.729.047 I slot print_timing: id  0 | task 0 |        eval time =     572.53 ms /   144 tokens (    3.98 ms per token,   251.51 tokens per second)
0.00.729.135 I slot      release: id  0 | task 0 | stop processing: n_tokens = ${held}, truncated = 1`),
    )[0];

  test("is known when the context ran full", () => {
    expect([ending("", 255)?.prompt_tokens, ending("", 255)?.cached_tokens]).toEqual([112, 0]);
  });

  test("is unknown when parts of the context were thrown away", () => {
    const shift =
      "0.00.300.838 W slot   operator(): id  0 | task 0 | slot context shift, n_keep = 1, n_left = 254, n_discard = 127";
    const generation = ending(shift, 320);
    expect([generation?.prompt_tokens, generation?.cached_tokens, generation?.generated_tokens]).toEqual([
      null,
      null,
      144,
    ]);
  });

  test("is unknown when the slot holds less than was read", () => {
    expect(ending("", 203)?.prompt_tokens).toBeNull();
  });
});

describe("foreign lines", () => {
  test("that only look like a slot's say nothing", () => {
    expect(
      read(`
slot machine 7 in a casino
the text: slot launch_slot_: id  0 | task 1 | processing task
slot launch_slot_: id  0 | task x | processing task
slotlaunch: id  0 | task 1 | processing task
srv  log: somebody wrote that all slots are idle, and went on
0.00 slot launch_slot_: id  0 | task 1 | processing task`),
    ).toEqual([]);
  });

  test("of colours are read as if they had none", () => {
    const coloured =
      "\u001b[34m0.00.294.019\u001b[0m \u001b[32mI \u001b[0mslot launch_slot_: id  0 | task 0 | processing task, is_child = 0";
    expect(createLlamaLogReader().read(coloured)).toEqual([
      { type: "slot-started", slot: 0, task: 0, progress: { phase: "prefill" } },
    ]);
  });

  test("of ten megabytes are no event", () => {
    const reader = createLlamaLogReader();
    const long = ["main: ", "1", " ", "x"].map((start) => start.padEnd(10_000_000, start));
    for (const line of long) expect(reader.read(line)).toEqual([]);
  });

  test("say nothing, whatever they look like", () => {
    const reader = createLlamaLogReader();
    for (const line of [
      "line of some foreign program that writes a lot",
      "12:03:55 0.123 something with a time before it",
      "       indented text of a table",
      "0.01.123.456 I que    start_loop: waiting for new tasks",
      "eval time is what a foreign program talks about",
    ]) {
      expect(reader.read(line)).toEqual([]);
    }
  });
});
