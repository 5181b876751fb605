import type { BackendEvent, FinishedGeneration, SlotObservation, SlotProgress } from "../backends/index.ts";
import type { GenerationMetrics, RuntimeState, SlotState } from "../contract/index.ts";
import { observe, type PollMemory, progressed, type SlotRuntime, started } from "./slot-runtime.ts";

/**
 * What a model server is doing, put together from its log and refined by polling. Pure: each
 * function takes a runtime and gives the next one: the very same one where nothing changed. Times are milliseconds since 1970.
 */

const KEPT_GENERATIONS = 100;

interface ReleasedTask {
  readonly task: number;
  readonly startedAt: number | null;
  /** The log said so, so what is still said of the task came late and is void. A poll may have been mistaken. */
  readonly byLog: boolean;
}

export interface Runtime {
  readonly instanceId: string;
  /** Slots at work, the one that changed last at the end. */
  readonly slots: readonly SlotRuntime[];
  /** What the polls remember, by slot: it changes with each poll, and the API does not show it. */
  readonly polls: ReadonlyMap<number, PollMemory>;
  /** The task that each slot left last. */
  readonly released: ReadonlyMap<number, ReleasedTask>;
  /** Finished generations, newest last. */
  readonly generations: readonly GenerationMetrics[];
  /** When something changed last. */
  readonly changedAt: number;
}

export const initialRuntime = (instanceId: string, time: number): Runtime => ({
  instanceId,
  slots: [],
  polls: new Map(),
  released: new Map(),
  generations: [],
  changedAt: time,
});

/** As an earlier daemon left it: {@link initialRuntime} with what was at work, and what was finished. */
export const restoredRuntime = (
  instanceId: string,
  { slots, generations }: Pick<Runtime, "slots" | "generations">,
  time: number,
): Runtime => ({ ...initialRuntime(instanceId, time), slots, generations });

/** After a stop or a crash: nothing is at work, task numbers begin anew, what was finished stays known. */
export const reset = (runtime: Runtime, time: number): Runtime => ({
  ...initialRuntime(runtime.instanceId, time),
  generations: runtime.generations,
});

/** Finished generations, newest last, the last 100 at most. */
export const finished = (runtime: Runtime): readonly GenerationMetrics[] => runtime.generations;

/** Whether any slot is at work, by the log: what the log does not say is worth polling for only then. */
export const isBusy = (runtime: Runtime): boolean => runtime.slots.length > 0;

const slotOf = (runtime: Runtime, slot: number): SlotRuntime | undefined =>
  runtime.slots.find(({ state }) => state.slot_id === slot);

const withSlot = (runtime: Runtime, next: SlotRuntime, time: number): Runtime => ({
  ...runtime,
  slots: [...runtime.slots.filter(({ state }) => state.slot_id !== next.state.slot_id), next],
  changedAt: time,
});

const iso = (time: number): string => new Date(time).toISOString();

const metricsOf = (
  runtime: Runtime,
  generation: FinishedGeneration,
  startedAt: number | null,
  time: number,
): GenerationMetrics => ({
  instance_id: runtime.instanceId,
  ...generation,
  started_at: startedAt === null ? null : iso(startedAt),
  finished_at: iso(time),
});

const withGeneration = (runtime: Runtime, metrics: GenerationMetrics, time: number): Runtime => ({
  ...runtime,
  generations: [...runtime.generations, metrics].slice(-KEPT_GENERATIONS),
  changedAt: time,
});

const withoutSlot = (runtime: Runtime, left: SlotRuntime, byLog: boolean, time: number): Runtime => {
  const { slot_id: slot, task_id: task } = left.state;
  const { startedAt } = left;
  return {
    ...runtime,
    slots: runtime.slots.filter((other) => other !== left),
    released: task === null ? runtime.released : new Map(runtime.released).set(slot, { task, startedAt, byLog }),
    changedAt: time,
  };
};

type Released = Extract<BackendEvent, { type: "slot-released" }>;

const sameTask = (a: number | null, b: number | null): boolean => a === null || b === null || a === b;

/**
 * The figures of a task may come after its release (builds before 2025), or after a poll has freed
 * the slot, or when the slot has its next task already.
 */
const release = (runtime: Runtime, event: Released, time: number): Runtime => {
  const current = slotOf(runtime, event.slot);
  const ends = current !== undefined && sameTask(current.state.task_id, event.task);
  const before = runtime.released.get(event.slot);
  const startedAt = ends ? current.startedAt : before?.task === event.task ? before.startedAt : null;
  const freed = ends ? withoutSlot(runtime, current, true, time) : runtime;
  if (event.generation === null) return freed;
  return withGeneration(freed, metricsOf(runtime, event.generation, startedAt ?? null, time), time);
};

type Started = Extract<BackendEvent, { type: "slot-started" }>;

const start = (runtime: Runtime, { slot, task, progress }: Started, time: number): Runtime => {
  const polls = new Map(runtime.polls);
  polls.delete(slot);
  return withSlot({ ...runtime, polls }, started(slot, task, progress, time), time);
};

const withProgress = (
  runtime: Runtime,
  slot: number,
  task: number | null,
  progress: SlotProgress,
  time: number,
): Runtime => {
  const current = slotOf(runtime, slot);
  const before = runtime.released.get(slot);
  if (current === undefined && task !== null && before?.byLog === true && before.task === task) return runtime;
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
      return start(runtime, event, time);
    case "slot-progress":
      return withProgress(runtime, event.slot, event.task, event.progress, time);
    case "slot-released":
      return release(runtime, event, time);
    case "all-idle":
      return runtime.slots.length === 0 ? runtime : { ...runtime, slots: [], changedAt: time };
  }
};

/**
 * What a poll saw at `time`. The log decides which slots are at work; a poll refines those, and
 * frees one that it finds idle twice in a row.
 * @param logTells false where nothing of the log can be read: then the poll decides
 * @param clock milliseconds that only ever grow, for rates: `time` makes a step when the machine's clock is set
 */
export const applyObservation = (
  runtime: Runtime,
  observations: readonly SlotObservation[],
  time: number,
  logTells = true,
  clock = time,
): Runtime => {
  const observe = logTells ? observeSlot : decideSlot;
  return observations.reduce((before, observation) => observe(before, observation, time, clock), runtime);
};

/** What a poll says of a slot of which no line tells. What was generated is not known to be all, so it is not reported. */
const decideSlot = (runtime: Runtime, observation: SlotObservation, time: number, clock: number): Runtime => {
  const { slot, task, busy } = observation;
  const current = slotOf(runtime, slot);
  if (!busy) return current === undefined ? runtime : withoutSlot(runtime, current, false, time);
  const isKnown = current !== undefined && sameTask(current.state.task_id, task);
  const begun = isKnown ? runtime : start(runtime, { type: "slot-started", slot, task, progress: {} }, time);
  return observeSlot(begun, observation, time, clock);
};

const observeSlot = (runtime: Runtime, observation: SlotObservation, time: number, clock: number): Runtime => {
  const current = slotOf(runtime, observation.slot);
  if (current === undefined) return runtime;
  const { state, memory } = observe(current.state, runtime.polls.get(observation.slot), observation, clock);
  const polled = { ...runtime, polls: new Map(runtime.polls).set(observation.slot, memory) };
  if (state === null) return withoutSlot(polled, current, false, time);
  return state === current.state ? polled : withSlot(polled, { ...current, state }, time);
};

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
