import type { Memory } from "../contract/index.ts";

/** Looks at the memory of the machine for as long as there is a subscriber, and tells what has changed. */

const EVERY_MS = 2000;

export class MemoryWatch {
  private readonly listeners = new Set<(memory: Memory) => void>();
  private timer: Timer | null = null;
  private last = "";

  constructor(private readonly read: () => Promise<Memory>) {}

  /** Null where it cannot be read now. */
  now(): Promise<Memory | null> {
    return this.read().catch(() => null);
  }

  /** @returns how to end it */
  subscribe(listener: (memory: Memory) => void): () => void {
    this.listeners.add(listener);
    // What it knows may be older, or newer, than what the others were told.
    this.last = "";
    this.timer ??= setInterval(() => void this.look(), EVERY_MS);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0 || this.timer === null) return;
      clearInterval(this.timer);
      this.timer = null;
    };
  }

  private async look(): Promise<void> {
    const memory = await this.now();
    const text = JSON.stringify(memory);
    if (memory === null || text === this.last) return;
    this.last = text;
    for (const listener of this.listeners) listener(memory);
  }
}
