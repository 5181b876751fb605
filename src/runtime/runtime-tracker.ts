import { type Backend, backendOf, type LogReader, type SlotsProbe } from "../backends/index.ts";
import { type Endpoint, reachableHost } from "../common/endpoint.ts";
import type { GenerationMetrics, InstanceConfig, LoadingProgress, RuntimeState } from "../contract/index.ts";
import { localGet } from "../process/local-get.ts";
import type { KeptState } from "./kept-state.ts";
import {
  applyEvent,
  applyObservation,
  finished,
  initialRuntime,
  isBusy,
  type Runtime,
  reset,
  restoredRuntime,
  toRuntimeState,
} from "./runtime-state.ts";

/**
 * What an instance is doing, kept up to date from its log, and from `/slots` while its log says that it is busy, or
 * where its log says nothing at all.
 */

/** Before the first poll of a slot that has just begun to work: most requests are over by then. */
const FIRST_POLL_MS = 200;
/**
 * Between two polls. llama-server looks for a vanished client of a request without a stream only after a second
 * without any result, and the answer to a poll is a result. What is needed sooner stands in the log.
 */
const POLL_PAUSE_MS = 1500;
/** `/slots` can stall while a long prompt is read. */
const POLL_TIMEOUT_MS = 1000;

/** A state as it goes to subscribers. */
export interface StateChange {
  seq: number;
  timestamp: string;
  state: RuntimeState;
}

export type RuntimeEvent =
  /** The log says that the server can answer. */
  | { type: "ready" }
  | { type: "loading"; loading: LoadingProgress }
  | { type: "state"; change: StateChange }
  | { type: "generation"; generation: GenerationMetrics }
  /** What is kept for the next daemon is another now. */
  | { type: "kept" };

type RuntimeListener = (event: RuntimeEvent) => void;

export class RuntimeTracker {
  private runtime: Runtime;
  private reader: LogReader;
  private readonly listeners = new Set<RuntimeListener>();
  private seq = 0;
  /** Set while a process is there to be asked. */
  private probe: { slots: SlotsProbe; hostname: string; port: number } | null = null;
  private timer: Timer | null = null;
  /** When the last poll ended, by performance.now(). */
  private polledAt = Number.NEGATIVE_INFINITY;
  /** The lines before this one were taken in by an earlier daemon. */
  private knownSeq: number;
  /** When something last moved, by performance.now(): a line came, or a slot changed. */
  private movedAt = 0;
  /** Whether the server itself has said since that a slot is at work. */
  private confirmed = false;
  /** Whether anything of the process's log could be read. */
  private logTells: boolean;
  /** Whether the log said that the server can answer. */
  private saysReady = false;
  /** Whether `/slots` was refused: with a log that cannot be read either, nothing tells of its work. */
  private slotsRefused = false;

  constructor(instanceId: string, config: InstanceConfig, kept: KeptState | null = null) {
    this.knownSeq = kept?.seq ?? 0;
    this.logTells = kept?.log_tells ?? false;
    this.runtime =
      kept === null ? initialRuntime(instanceId, Date.now()) : restoredRuntime(instanceId, kept, Date.now());
    this.reader = backendOf(config).createLogReader();
  }

  get state(): RuntimeState {
    return toRuntimeState(this.runtime);
  }

  get busy(): boolean {
    return isBusy(this.runtime);
  }

  /** Whether the log of this process has said that it can answer. */
  get listens(): boolean {
    return this.saysReady;
  }

  /** Whether a slot is at work, or nothing says that none is. */
  get mayBeBusy(): boolean {
    return this.busy || (!this.logTells && this.slotsRefused);
  }

  /** Milliseconds for which a slot has been at work, by the server's own word, and nothing has moved. */
  get stuckFor(): number {
    return this.busy && this.confirmed ? performance.now() - this.movedAt : 0;
  }

  /** As it is kept for the next daemon. @param seq of the first line that was not taken in */
  keptAt(seq: number): KeptState {
    const { logTells, runtime, generations } = this;
    return { seq, log_tells: logTells, slots: runtime.slots, generations };
  }

  get generations(): readonly GenerationMetrics[] {
    return finished(this.runtime);
  }

  subscribe(listener: RuntimeListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** A new process writes the lines from here on. */
  begin(backend: Backend): void {
    this.reader = backend.createLogReader();
    this.knownSeq = 0;
    this.logTells = false;
    this.saysReady = false;
    this.set(reset(this.runtime, Date.now()));
    this.emit({ type: "kept" });
  }

  /** The server listens there, and may be asked what its log does not say. */
  attach(backend: Backend, { host, port }: Endpoint, config: InstanceConfig): void {
    const slots = backend.slotsProbe(config);
    this.probe = slots === null ? null : { slots, hostname: reachableHost(host), port };
    this.slotsRefused = false;
    this.schedulePoll();
  }

  /** The process is gone, and its work with it. */
  end(): void {
    this.probe = null;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.busy) this.set(reset(this.runtime, Date.now()));
  }

  /** @param seq of the first line */
  readLines(lines: readonly string[], timestamp: string, seq: number): void {
    const time = Date.parse(timestamp);
    this.moved();
    // What an earlier daemon had taken in already is read for what comes behind it alone.
    const known = this.knownSeq - seq;
    for (const [at, line] of lines.entries()) {
      const events = this.reader.read(line);
      if (events.length > 0) this.told();
      if (events.some(({ type }) => type === "ready")) this.saysReady = true;
      if (at < known) continue;
      for (const event of events) {
        const { type } = event;
        if (type === "ready") this.emit({ type });
        else if (type === "loading") this.emit({ type, loading: { stage: event.stage, progress: event.progress } });
        else this.set(applyEvent(this.runtime, event, time));
      }
    }
    this.schedulePoll();
  }

  private set(next: Runtime): void {
    const before = this.runtime;
    if (next === before) return;
    this.runtime = next;
    if (next.changedAt === before.changedAt && next.slots === before.slots) return;
    this.moved();
    this.emit({ type: "kept" });
    const generation = next.generations.at(-1);
    if (generation !== undefined && generation !== before.generations.at(-1))
      this.emit({ type: "generation", generation });
    this.emit({ type: "state", change: { seq: this.seq++, timestamp: new Date().toISOString(), state: this.state } });
  }

  private emit(event: RuntimeEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private told(): void {
    if (this.logTells) return;
    this.logTells = true;
    this.emit({ type: "kept" });
  }

  private moved(): void {
    this.movedAt = performance.now();
    this.confirmed = false;
  }

  private schedulePoll(): void {
    if (this.probe === null || this.timer !== null || !this.mustAsk) return;
    const pause = Math.max(FIRST_POLL_MS, this.polledAt + POLL_PAUSE_MS - performance.now());
    this.timer = setTimeout(() => void this.poll(), pause);
  }

  private get mustAsk(): boolean {
    return this.busy || !this.logTells;
  }

  private async poll(): Promise<void> {
    const { probe, timer } = this;
    if (probe !== null && this.mustAsk) {
      const answer = await askSlots(probe.slots, probe);
      this.polledAt = performance.now();
      // The process may have changed while the answer was on its way.
      if (answer !== null && this.probe === probe) {
        this.slotsRefused = answer.status !== 200;
        if (!this.slotsRefused) {
          const seen = probe.slots.parse(answer.body);
          this.set(applyObservation(this.runtime, seen, Date.now(), this.logTells, performance.now()));
          this.confirmed = this.busy;
        }
      }
    }
    // It may have been detached meanwhile, and attached again with a timer of its own.
    if (this.timer !== timer) return;
    this.timer = null;
    this.schedulePoll();
  }
}

/** Null where no answer came that can be read. */
const askSlots = async (
  { path, headers }: SlotsProbe,
  { hostname, port }: { hostname: string; port: number },
): Promise<{ status: number; body: unknown } | null> => {
  const outcome = await localGet({ hostname, port, path }, headers, POLL_TIMEOUT_MS);
  if (typeof outcome === "string") return null;
  try {
    return { status: outcome.status, body: outcome.status === 200 ? JSON.parse(outcome.body) : null };
  } catch {
    return null;
  }
};
