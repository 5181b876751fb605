import type { GenerationMetrics } from "../contract/index.ts";
import type { SlotRuntime } from "./slot-runtime.ts";

/**
 * What of the runtime state is kept for the next daemon: that reads the end of the log again, and what had been
 * finished, or begun, long before that is not in there any more.
 */

export interface KeptState {
  /** The lines before this one are taken in. */
  seq: number;
  /** Whether the log has told anything of the server. Absent in records of older versions. */
  log_tells?: boolean;
  /** Slots that were at work then. */
  slots: readonly SlotRuntime[];
  /** Finished generations, newest last. */
  generations: readonly GenerationMetrics[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const isSlot = (value: unknown): boolean =>
  isObject(value) && isObject(value.state) && Number.isSafeInteger(value.state.slot_id);

const isGeneration = (value: unknown): boolean => isObject(value) && typeof value.instance_id === "string";

export const isKeptState = (value: unknown): value is KeptState =>
  isObject(value) &&
  Number.isSafeInteger(value.seq) &&
  Array.isArray(value.slots) &&
  value.slots.every(isSlot) &&
  Array.isArray(value.generations) &&
  value.generations.every(isGeneration);

/** So often at the most: a state changes with each poll, and what is newer stands in the log. */
const EVERY_MS = 1000;

/** Keeps the record about as new as the state. */
export class StateKeeper {
  private timer: Timer | null = null;
  private closed = false;
  private savedAt = Number.NEGATIVE_INFINITY;
  private saved: Omit<KeptState, "seq">;

  /**
   * @param present what the record should be now
   * @param save may throw: then it is as old as it was, and tried again at the next change
   */
  constructor(
    kept: KeptState | null,
    private readonly present: () => KeptState,
    private readonly save: (record: KeptState) => void,
  ) {
    this.saved = kept ?? { slots: [], generations: [] };
  }

  /** Saves in a moment; never at once, since the rest of a batch of lines may change the state again. */
  changed(): void {
    if (this.closed) return;
    const wait = Math.max(0, this.savedAt + EVERY_MS - performance.now());
    this.timer ??= setTimeout(() => this.flush(), wait);
    // The end of the daemon calls `close`: it need not wait for the timer.
    this.timer.unref();
  }

  /** Saves what is still to be saved; what changes from now on is not kept. */
  close(): void {
    this.flush();
    this.closed = true;
  }

  /** Nothing is kept of a deleted instance. */
  drop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.closed = true;
  }

  private flush(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const record = this.present();
    const isIdle = record.slots.length === 0 && this.saved.slots.length === 0;
    const isKept = record.log_tells === this.saved.log_tells;
    if (isIdle && isKept && record.generations.at(-1) === this.saved.generations.at(-1)) return;
    this.savedAt = performance.now();
    try {
      this.save(record);
      this.saved = record;
    } catch {
      // The log has what is newer, as far as it reaches.
    }
  }
}
