import { describe, expect, test } from "bun:test";
import { type BackendEvent, backends, type SlotObservation, type SlotProgress } from "../../src/backends/index.ts";
import { runtimeState } from "../../src/contract/index.ts";
import {
  applyEvent,
  applyObservation,
  finished,
  initialRuntime,
  isBusy,
  type Runtime,
  reset,
  toRuntimeState,
} from "../../src/runtime/runtime-state.ts";
import { recorded } from "../backends/replay.ts";

/** Whether the second tells more than the first. What did not change is never made anew. */
const changed = (before: Runtime, after: Runtime): boolean =>
  before.slots !== after.slots || before.generations !== after.generations;

const T0 = Date.parse("2026-01-01T00:00:00.000Z");
const iso = (time: number) => new Date(time).toISOString();
const fresh = () => initialRuntime("i-1", T0);

const started = (slot: number, task: number | null, progress: SlotProgress = { phase: "prefill" }): BackendEvent => ({
  type: "slot-started",
  slot,
  task,
  progress,
});
const progress = (slot: number, task: number | null, fields: SlotProgress): BackendEvent => ({
  type: "slot-progress",
  slot,
  task,
  progress: fields,
});
const released = (slot: number, task: number, generated: number | null): BackendEvent => ({
  type: "slot-released",
  slot,
  task,
  generation:
    generated === null
      ? null
      : {
          slot_id: slot,
          task_id: task,
          prompt_tokens: 10,
          cached_tokens: 0,
          generated_tokens: generated,
          decode_tps: 100,
          decode_ms_per_token: 10,
        },
});
const seen = (slot: number, fields: Partial<SlotObservation> = {}): SlotObservation => ({
  slot,
  busy: true,
  task: null,
  promptTokens: null,
  promptProcessed: null,
  promptCached: null,
  generatedTokens: null,
  ...fields,
});

/** One event each 10 ms from T0 on. */
const play = (events: BackendEvent[], from: Runtime = fresh()): Runtime =>
  events.reduce((runtime, event, i) => applyEvent(runtime, event, T0 + (i + 1) * 10), from);

describe("the state of a server", () => {
  test("that does nothing is idle, with every field of the contract there", () => {
    expect(runtimeState.parse(toRuntimeState(fresh()))).toEqual({
      instance_id: "i-1",
      busy: false,
      phase: "idle",
      active_slots: 0,
      slot_id: null,
      task_id: null,
      prefill_progress: null,
      prefill_prompt_tokens: null,
      generated_tokens: null,
      decode_tps: null,
      decode_ms_per_token: null,
      checkpoint_index: null,
      checkpoint_total: null,
      timestamp: iso(T0),
      slots: [],
    });
  });

  test("goes from prefill to generating to idle, and dates each change", () => {
    const log = [
      started(0, 7),
      progress(0, 7, { phase: "prefill", prefill_prompt_tokens: 40, prefill_progress: 0.5 }),
      progress(0, 7, { phase: "generating", prefill_progress: null, generated_tokens: 3 }),
      released(0, 7, 5),
    ];
    const states = log.map((_, i) => toRuntimeState(play(log.slice(0, i + 1))));
    expect(
      states.map((s) => [s.busy, s.phase, s.prefill_progress, s.prefill_prompt_tokens, s.generated_tokens]),
    ).toEqual([
      [true, "prefill", null, null, null],
      [true, "prefill", 0.5, 40, null],
      [true, "generating", null, 40, 3],
      [false, "idle", null, null, null],
    ]);
    expect(states.map((s) => s.timestamp)).toEqual([10, 20, 30, 40].map((ms) => iso(T0 + ms)));
    for (const state of states) runtimeState.parse(state);
  });

  test("with two slots at work shows the one that changed last, and both beside it in order", () => {
    const runtime = play([started(1, 8), started(0, 7), progress(1, 8, { phase: "generating", generated_tokens: 2 })]);
    const state = toRuntimeState(runtime);
    expect([state.active_slots, state.slot_id, state.task_id, state.phase]).toEqual([2, 1, 8, "generating"]);
    expect(state.slots.map((slot) => [slot.slot_id, slot.task_id, slot.phase])).toEqual([
      [0, 7, "prefill"],
      [1, 8, "generating"],
    ]);
  });

  test("stays busy with the other slot when the one that changed last ends", () => {
    const state = toRuntimeState(play([started(0, 7), started(1, 8), released(1, 8, 4)]));
    expect([state.busy, state.active_slots, state.slot_id, state.task_id]).toEqual([true, 1, 0, 7]);
  });

  test("keeps the checkpoints of a task while it generates, and none of them for the next task", () => {
    const runtime = play([
      started(0, 7),
      progress(0, 7, { checkpoint_index: 1, checkpoint_total: 8 }),
      progress(0, 7, { phase: "generating", generated_tokens: 0 }),
    ]);
    expect(toRuntimeState(runtime)).toMatchObject({ phase: "generating", checkpoint_index: 1, checkpoint_total: 8 });
    expect(toRuntimeState(play([started(0, 9)], runtime))).toMatchObject({ task_id: 9, checkpoint_index: null });
  });

  test("is idle after a reset, and keeps what was generated before", () => {
    const runtime = play([started(0, 7), released(0, 7, 5), started(1, 8)]);
    const after = reset(runtime, T0 + 1000);
    expect(toRuntimeState(after)).toMatchObject({ busy: false, phase: "idle", slots: [], timestamp: iso(T0 + 1000) });
    expect(finished(after).map((g) => g.task_id)).toEqual([7]);
  });

  test("after a reset takes the same task numbers anew", () => {
    const runtime = reset(play([started(0, 0), released(0, 0, 5)]), T0 + 1000);
    expect(isBusy(applyEvent(runtime, progress(0, 0, { phase: "prefill" }), T0 + 2000))).toBe(true);
  });

  test("is idle when the server says that all slots are, whatever was missed", () => {
    expect(isBusy(play([started(0, 7), started(3, 9), { type: "all-idle" }]))).toBe(false);
  });

  test("is busy by a slot whose start was not seen", () => {
    const runtime = play([progress(2, 5, { phase: "generating", generated_tokens: 40 }), released(2, 5, 50)]);
    expect(finished(runtime)[0]).toMatchObject({ task_id: 5, started_at: null, finished_at: iso(T0 + 20) });
  });

  test("does not become busy again by a line that comes after the release", () => {
    const late = progress(0, 7, { phase: "generating", generated_tokens: 4 });
    expect(isBusy(play([started(0, 7), released(0, 7, 5), late]))).toBe(false);
  });

  test("does not end a task by the release of the one before it", () => {
    const runtime = play([started(0, 7), started(0, 8), released(0, 7, 5)]);
    expect(toRuntimeState(runtime)).toMatchObject({ busy: true, task_id: 8 });
    expect(finished(runtime).map((g) => g.task_id)).toEqual([7]);
  });

  test("is changed by what can be seen, and by nothing else", () => {
    const runtime = play([started(0, 7), progress(0, 7, { phase: "generating", generated_tokens: 3 })]);
    const same: BackendEvent[] = [
      { type: "ready" },
      { type: "loading", stage: "weights", progress: 0.5 },
      progress(0, 7, { phase: "generating", generated_tokens: 3 }),
      released(4, 99, null),
    ];
    for (const event of same) expect(changed(runtime, applyEvent(runtime, event, T0 + 99))).toBe(false);
    expect(changed(runtime, applyObservation(runtime, [seen(0, { task: 7, busy: false })], T0 + 99))).toBe(false);
    for (const event of [progress(0, 7, { generated_tokens: 4 }), released(0, 7, null), released(4, 99, 1)]) {
      expect(changed(runtime, applyEvent(runtime, event, T0 + 99))).toBe(true);
    }
  });
});

describe("generations", () => {
  test("have the times of their first and last line", () => {
    expect(finished(play([started(3, 7), released(3, 7, 5)]))).toEqual([
      {
        instance_id: "i-1",
        slot_id: 3,
        task_id: 7,
        prompt_tokens: 10,
        cached_tokens: 0,
        generated_tokens: 5,
        decode_tps: 100,
        decode_ms_per_token: 10,
        started_at: iso(T0 + 10),
        finished_at: iso(T0 + 20),
      },
    ]);
  });

  test("that were cancelled are not reported", () => {
    expect(finished(play([started(0, 7), released(0, 7, null)]))).toEqual([]);
  });

  test("whose figures come after the release still know when they started", () => {
    const runtime = play([started(0, 7), released(0, 7, null), released(0, 7, 5)]);
    expect(finished(runtime)).toMatchObject([{ task_id: 7, started_at: iso(T0 + 10), finished_at: iso(T0 + 30) }]);
  });

  test("are kept to the last hundred, newest last", () => {
    const tasks = Array.from({ length: 130 }, (_, task) => task);
    const kept = finished(play(tasks.flatMap((task) => [started(0, task), released(0, task, 5)])));
    expect(kept.map((g) => g.task_id)).toEqual(tasks.slice(30));
  });
});

describe("the log of an older build", () => {
  const states = async (): Promise<ReturnType<typeof toRuntimeState>[]> => {
    const reader = backends.llamacpp.createLogReader();
    const events = (await recorded("older/2026-spring.log")).flatMap((line) => reader.read(line));
    return events.map((_, n) => toRuntimeState(play(events.slice(0, n + 1))));
  };

  test("shows a read prompt as read until the release, whatever polls come between", async () => {
    const of = (await states()).flatMap(({ slots }) => slots.filter(({ task_id }) => task_id === 7));
    const generating = of.filter(({ phase }) => phase === "generating");
    expect(generating.length).toBeGreaterThan(3);
    expect(new Set(generating.map((slot) => slot.prefill_progress))).toEqual(new Set([1]));
    const known = play([started(0, 7, { phase: "prefill", prefill_prompt_tokens: 90, prefill_progress: 0.5 })]);
    const polled = applyObservation(known, [seen(0, { task: 7, generatedTokens: 1 })], T0 + 50);
    expect(toRuntimeState(polled)).toMatchObject({ phase: "generating", prefill_progress: 1 });
    const again = applyObservation(polled, [seen(0, { task: 7, generatedTokens: 5 })], T0 + 90);
    expect(toRuntimeState(again)).toMatchObject({ generated_tokens: 5, prefill_progress: 1 });
  });

  test("shows the figures of its timing lines while the slot is still at work", async () => {
    const last = (await states()).flatMap(({ slots }) => slots.filter(({ task_id }) => task_id === 7)).at(-1);
    expect(last).toMatchObject({ phase: "generating", generated_tokens: 10, decode_tps: 100, decode_ms_per_token: 10 });
  });
});

describe("a poll of a server whose log tells nothing", () => {
  const polls = (from: Runtime, ...each: [ms: number, slots: SlotObservation[]][]): Runtime =>
    each.reduce((runtime, [ms, slots]) => applyObservation(runtime, slots, T0 + ms, false), from);

  test("says which slots are at work, and how far they are", () => {
    const runtime = polls(fresh(), [0, [seen(0, { task: 3, generatedTokens: 0 }), seen(1, { busy: false })]]);
    expect(toRuntimeState(runtime)).toMatchObject({
      busy: true,
      phase: "prefill",
      active_slots: 1,
      slot_id: 0,
      task_id: 3,
    });
    const later = polls(
      runtime,
      [1000, [seen(0, { task: 3, generatedTokens: 10 })]],
      [2000, [seen(0, { task: 3, generatedTokens: 30 }), seen(1, { task: 5 })]],
    );
    expect(toRuntimeState(later)).toMatchObject({ active_slots: 2, slot_id: 1 });
    expect(toRuntimeState(later).slots[0]).toMatchObject({ phase: "generating", generated_tokens: 30, decode_tps: 20 });
  });

  test("frees a slot that is idle, and begins anew where it has another task", () => {
    const runtime = polls(
      fresh(),
      [0, [seen(0, { task: 3, generatedTokens: 40 })]],
      [1, [seen(0, { task: 4, generatedTokens: 2 })]],
    );
    expect(toRuntimeState(runtime)).toMatchObject({ task_id: 4, generated_tokens: 2 });
    const idle = polls(runtime, [2, [seen(0, { busy: false })]]);
    expect([isBusy(idle), finished(idle)]).toEqual([false, []]);
  });

  test("decides nothing where the log tells", () => {
    expect(isBusy(applyObservation(fresh(), [seen(0, { task: 3 })], T0))).toBe(false);
  });
});

describe("a poll", () => {
  const prefilling = () => play([started(0, 7, { phase: "prefill", prefill_prompt_tokens: 100 })]);
  const polls = (from: Runtime, ...each: [ms: number, slot: SlotObservation][]): Runtime =>
    each.reduce((runtime, [ms, slot]) => applyObservation(runtime, [slot], T0 + ms), from);

  test("tells how much of a prompt of known length was read, what was cached included", () => {
    const runtime = polls(prefilling(), [100, seen(0, { task: 7, promptProcessed: 30, promptCached: 20 })]);
    expect(toRuntimeState(runtime)).toMatchObject({ phase: "prefill", prefill_progress: 0.5 });
  });

  test("never takes prefill back", () => {
    const runtime = polls(
      prefilling(),
      [100, seen(0, { task: 7, promptProcessed: 60, promptCached: 0 })],
      [200, seen(0, { task: 7, promptProcessed: 0, promptCached: 0 })],
    );
    expect(toRuntimeState(runtime).prefill_progress).toBe(0.6);
  });

  test("tells no progress of a prompt whose length is not known", () => {
    const runtime = polls(play([started(0, 7)]), [100, seen(0, { task: 7, promptProcessed: 30, promptCached: 0 })]);
    expect(toRuntimeState(runtime)).toMatchObject({ phase: "prefill", prefill_progress: null });
  });

  test("takes rates by a clock that only grows: a step of the machine's clock falsifies none", () => {
    const first = applyObservation(prefilling(), [seen(0, { task: 7, generatedTokens: 10 })], T0, true, 1000);
    const later = applyObservation(first, [seen(0, { task: 7, generatedTokens: 30 })], T0 - 3_600_000, true, 2000);
    expect(toRuntimeState(later).decode_tps).toBe(20);
    const ahead = applyObservation(first, [seen(0, { task: 7, generatedTokens: 30 })], T0 + 3_600_000, true, 2000);
    expect(toRuntimeState(ahead).decode_tps).toBe(20);
  });

  test("turns prefill into generating at the first token", () => {
    const runtime = polls(prefilling(), [100, seen(0, { task: 7, generatedTokens: 1, promptTokens: 90 })]);
    expect(toRuntimeState(runtime)).toMatchObject({
      phase: "generating",
      prefill_progress: null,
      prefill_prompt_tokens: 90,
      generated_tokens: 1,
      decode_tps: null,
    });
  });

  test("gives the speed by what was generated since the poll before", () => {
    const runtime = polls(
      prefilling(),
      [100, seen(0, { task: 7, generatedTokens: 1 })],
      [300, seen(0, { task: 7, generatedTokens: 11 })],
      [500, seen(0, { task: 7, generatedTokens: 36 })],
    );
    expect(toRuntimeState(runtime)).toMatchObject({ generated_tokens: 36, decode_tps: 125, decode_ms_per_token: 8 });
  });

  test("between two tokens of a slow model is no standstill", () => {
    const runtime = polls(
      prefilling(),
      [100, seen(0, { task: 7, generatedTokens: 1 })],
      [600, seen(0, { task: 7, generatedTokens: 2 })],
      [900, seen(0, { task: 7, generatedTokens: 2 })],
      [1100, seen(0, { task: 7, generatedTokens: 3 })],
    );
    expect(toRuntimeState(runtime)).toMatchObject({ generated_tokens: 3, decode_tps: 2, decode_ms_per_token: 500 });
  });

  test("does not measure from one task to the next in the same slot", () => {
    const first = polls(prefilling(), [100, seen(0, { task: 7, generatedTokens: 5 })]);
    const second = play([released(0, 7, 5), started(0, 8)], first);
    const runtime = polls(second, [200, seen(0, { task: 8, generatedTokens: 9 })]);
    expect(toRuntimeState(runtime)).toMatchObject({ task_id: 8, generated_tokens: 9, decode_tps: null });
  });

  test("that saw another task than the log changes nothing", () => {
    const before = prefilling();
    const after = polls(before, [100, seen(0, { task: 3, generatedTokens: 50 })]);
    expect(toRuntimeState(after)).toEqual(toRuntimeState(before));
  });

  test("that comes late does not take back tokens, and neither does a line", () => {
    const runtime = play([started(0, 7), progress(0, 7, { phase: "generating", generated_tokens: 50 })]);
    expect(toRuntimeState(polls(runtime, [100, seen(0, { task: 7, generatedTokens: 48 })])).generated_tokens).toBe(50);
    const further = polls(runtime, [100, seen(0, { task: 7, generatedTokens: 60 })]);
    const line = progress(0, 7, { phase: "generating", generated_tokens: 55 });
    expect(toRuntimeState(applyEvent(further, line, T0 + 110)).generated_tokens).toBe(60);
    const prefill = progress(0, 7, { phase: "prefill", prefill_progress: 1 });
    expect(toRuntimeState(applyEvent(further, prefill, T0 + 110))).toMatchObject({ phase: "generating" });
  });

  test("that finds a slot idle frees it only when the next one does too", () => {
    const once = polls(prefilling(), [100, seen(0, { busy: false })]);
    expect(isBusy(once)).toBe(true);
    const twice = polls(once, [200, seen(0, { busy: false })]);
    expect(isBusy(twice)).toBe(false);
    expect(finished(twice)).toEqual([]);
  });

  test("that finds the slot busy in between begins the count anew", () => {
    const runtime = polls(
      prefilling(),
      [100, seen(0, { busy: false })],
      [200, seen(0, { task: 7 })],
      [300, seen(0, { busy: false })],
    );
    expect(isBusy(runtime)).toBe(true);
  });

  test("that found the task before idle does not count against the next one", () => {
    const once = polls(play([started(0, null)]), [100, seen(0, { busy: false })]);
    const next = polls(play([started(0, null)], once), [200, seen(0, { busy: false })]);
    expect(isBusy(next)).toBe(true);
  });

  test("that found the task before idle does not count against one whose start was not seen", () => {
    const once = polls(prefilling(), [100, seen(0, { busy: false })]);
    const next = applyEvent(once, progress(0, 8, { phase: "prefill" }), T0 + 150);
    expect(toRuntimeState(polls(next, [200, seen(0, { busy: false })]))).toMatchObject({ busy: true, task_id: 8 });
  });

  test("that freed a slot too early is put right by the next line", () => {
    const freed = polls(prefilling(), [100, seen(0, { busy: false })], [200, seen(0, { busy: false })]);
    const runtime = applyEvent(freed, progress(0, 7, { phase: "generating", generated_tokens: 4 }), T0 + 300);
    expect(toRuntimeState(runtime)).toMatchObject({ busy: true, task_id: 7, generated_tokens: 4 });
  });

  test("of slots that the log does not call busy changes nothing", () => {
    const before = fresh();
    expect(polls(before, [100, seen(0, { task: 1, generatedTokens: 5 })])).toBe(before);
  });
});

describe("a whole recorded log", () => {
  for (const file of ["session.log", "long-prompt.log", "verbose-4.log", "older/2025.log", "older/2026-spring.log"]) {
    test(`${file} is a valid state at each line, and counts its slots rightly at the end`, async () => {
      const reader = backends.llamacpp.createLogReader();
      let runtime = fresh();
      let open = new Set<number>();
      for (const [i, line] of (await recorded(file)).entries()) {
        for (const event of reader.read(line)) {
          runtime = applyEvent(runtime, event, T0 + i);
          if (event.type === "slot-started") open.add(event.slot);
          if (event.type === "slot-released") open.delete(event.slot);
          if (event.type === "all-idle") open = new Set();
        }
        runtimeState.parse(toRuntimeState(runtime));
        expect(toRuntimeState(runtime).active_slots).toBe(open.size);
      }
      for (const generation of finished(runtime)) {
        expect(Date.parse(generation.started_at ?? "")).toBeLessThan(Date.parse(generation.finished_at ?? ""));
      }
      expect(finished(runtime).length).toBeGreaterThan(0);
    });
  }

  test("of a server that was killed in the middle of a generation ends idle by a reset", async () => {
    const reader = backends.llamacpp.createLogReader();
    const runtime = play((await recorded("session.log")).flatMap((line) => [...reader.read(line)]));
    expect(toRuntimeState(runtime)).toMatchObject({ busy: true, task_id: 950 });
    expect(toRuntimeState(reset(runtime, T0)).busy).toBe(false);
  });
});
