import type { BackendEvent, FinishedGeneration, SlotObservation, SlotProgress } from "../backends/index.ts";
import type { GenerationMetrics, RuntimeState, SlotState } from "../contract/index.ts";
import { observe, progressed, type SlotRuntime, started } from "./slot-runtime.ts";

/**
 * What a model server is doing, put together from its log and refined by polling. Pure: each
 * function takes a runtime and gives the next one, the very same one where nothing changed, so that
 * the caller sees by identity whether there is something to tell. Times are milliseconds since 1970.
 */

const KEPT_GENERATIONS = 100;

export interface Runtime {
  readonly instanceId: string;
  /** Slots at work, the one that changed last at the end. */
  readonly slots: readonly SlotRuntime[];
  /** The task that each slot finished last: what is still said of it came late and is void. */
  readonly released: ReadonlyMap<number, number>;
  /** Finished generations, newest last. */
  readonly generations: readonly GenerationMetrics[];
  /** When something changed last. */
  readonly changedAt: number;
}

export const initialRuntime = (instanceId: string, time: number): Runtime => ({
  instanceId,
  slots: [],
  released: new Map(),
  generations: [],
  changedAt: time,
});

/** After a stop or a crash: nothing is at work, task numbers begin anew, what was finished stays known. */
export const reset = (runtime: Runtime, time: number): Runtime => ({
  ...initialRuntime(runtime.instanceId, time),
  generations: runtime.generations,
});

/** Finished generations, newest last, the last 100 at most. */
export const finished = (runtime: Runtime): readonly GenerationMetrics[] => runtime.generations;

export const isBusy = (runtime: Runtime): boolean => runtime.slots.length > 0;

const slotOf = (runtime: Runtime, slot: number): SlotRuntime | undefined =>
  runtime.slots.find(({ state }) => state.slot_id === slot);

const withSlot = (runtime: Runtime, next: SlotRuntime, time: number): Runtime => ({
  ...runtime,
  slots: [...runtime.slots.filter(({ state }) => state.slot_id !== next.state.slot_id), next],
  changedAt: time,
});

const iso = (time: number): string => new Date(time).toISOString();

const withoutSlot = (
  runtime: Runtime,
  slot: number,
  task: number | null,
  generation: FinishedGeneration | null,
  time: number,
): Runtime => {
  const current = slotOf(runtime, slot);
  if (current === undefined && generation === null) return runtime;
  const ended = task ?? current?.state.task_id ?? null;
  const metrics = generation && {
    instance_id: runtime.instanceId,
    ...generation,
    started_at: current === undefined || current.startedAt === null ? null : iso(current.startedAt),
    finished_at: iso(time),
  };
  return {
    ...runtime,
    slots: runtime.slots.filter((other) => other !== current),
    released: ended === null ? runtime.released : new Map(runtime.released).set(slot, ended),
    generations: metrics === null ? runtime.generations : [...runtime.generations, metrics].slice(-KEPT_GENERATIONS),
    changedAt: time,
  };
};

const withProgress = (
  runtime: Runtime,
  slot: number,
  task: number | null,
  progress: SlotProgress,
  time: number,
): Runtime => {
  const current = slotOf(runtime, slot);
  if (current === undefined && task !== null && runtime.released.get(slot) === task) return runtime;
  const next = progressed(current, slot, task, progress);
  return next === current ? runtime : withSlot(runtime, next, time);
};

/** What a log line said at `time`. */
export const applyEvent = (runtime: Runtime, event: BackendEvent, time: number): Runtime => {
  switch (event.type) {
    case "ready":
    case "loading":
      return runtime;
    case "slot-started":
      return withSlot(runtime, started(event.slot, event.task, event.progress, time), time);
    case "slot-progress":
      return withProgress(runtime, event.slot, event.task, event.progress, time);
    case "slot-released":
      return withoutSlot(runtime, event.slot, event.task, event.generation, time);
    case "all-idle":
      return runtime.slots.length === 0 ? runtime : { ...runtime, slots: [], changedAt: time };
  }
};

/**
 * What a poll saw at `time`. The log decides which slots are at work; a poll refines those, and
 * frees one that it finds idle twice in a row.
 */
export const applyObservation = (runtime: Runtime, observations: readonly SlotObservation[], time: number): Runtime =>
  observations.reduce((before, observation) => {
    const current = slotOf(before, observation.slot);
    if (current === undefined) return before;
    const next = observe(current, observation, time);
    if (next === null) return withoutSlot(before, observation.slot, null, null, time);
    if (next === current) return before;
    // What the daemon keeps for itself is no change that anybody sees, and does not move the slot.
    if (next.state === current.state) {
      return { ...before, slots: before.slots.map((other) => (other === current ? next : other)) };
    }
    return withSlot(before, next, time);
  }, runtime);

const IDLE: Omit<SlotState, "slot_id"> & { slot_id: null } = {
  slot_id: null,
  task_id: null,
  phase: "idle",
  prefill_progress: null,
  prefill_prompt_tokens: null,
  generated_tokens: null,
  decode_tps: null,
  decode_ms_per_token: null,
  checkpoint_index: null,
  checkpoint_total: null,
};

/** As the API shows it; the slot fields are those of the slot that changed last. */
export const toRuntimeState = (runtime: Runtime): RuntimeState => {
  const slots = runtime.slots.map(({ state }) => state);
  return {
    instance_id: runtime.instanceId,
    busy: slots.length > 0,
    active_slots: slots.length,
    ...(slots.at(-1) ?? IDLE),
    timestamp: iso(runtime.changedAt),
    slots: slots.toSorted((a, b) => a.slot_id - b.slot_id),
  };
};
