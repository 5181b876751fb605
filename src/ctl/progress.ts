import type { ListedInstance } from "../contract/instance-facts.ts";
import type { Io } from "./io.ts";
import { fit, oneLine } from "./table.ts";
import { formatDuration } from "./time.ts";

/** How far instances have come in loading: redrawn in place on a terminal, a line for each stage elsewhere. */

const BAR = 20;

const bar = (progress: number): string => {
  const full = Math.round(progress * BAR);
  return `[${"#".repeat(full)}${"-".repeat(BAR - full)}] ${String(Math.round(progress * 100)).padStart(3)}%`;
};

const stageOf = ({ status, loading, error_message }: ListedInstance): string => {
  // A retry is waited for: why matters more than what was being loaded.
  if (status === "starting" && error_message !== null) return oneLine(error_message);
  return status === "starting" ? (loading?.stage ?? "starting") : status;
};

export const progressLine = (name: string, instance: ListedInstance, elapsedMs: number): string => {
  const progress = instance.status === "starting" ? instance.loading?.progress : null;
  const share = progress === null || progress === undefined ? "" : `${bar(progress)}  `;
  return `${name}  ${share}${stageOf(instance)}  ${formatDuration(elapsedMs)}`;
};

const TICK_MS = 1000;

interface Shown {
  instance: ListedInstance;
  /** When it came to this status, by performance.now(). */
  since: number;
}

export class Progress {
  private readonly shown = new Map<string, Shown>();
  private readonly stages = new Map<string, string>();
  private drawn = 0;
  /** Ages go on without news from the daemon. */
  private ticker: Timer | null = null;

  /** Nothing is shown: the caller wants ids or JSON only. */
  private readonly silent: boolean;
  private isLost = false;

  constructor(
    private readonly io: Io,
    { json, quiet }: { json?: true; quiet?: true },
  ) {
    this.silent = json === true || quiet === true;
  }

  show(name: string, instance: ListedInstance): void {
    if (this.silent) return;
    if (!this.io.stderr.terminal) {
      this.tell(name, stageOf(instance));
      return;
    }
    const before = this.shown.get(name);
    const since = before?.instance.status === instance.status ? before.since : performance.now();
    this.shown.set(name, { instance, since });
    this.draw();
    this.ticker ??= setInterval(() => this.draw(), TICK_MS);
  }

  /** Its line goes; what is said instead stays. */
  end(name: string, message: string | null): void {
    this.clear();
    this.shown.delete(name);
    if (this.shown.size === 0) this.stopTicking();
    if (message !== null && !this.silent) this.io.say(message);
    this.draw();
  }

  /** A daemon that is away is told once, above what is drawn, however often it is asked. */
  lost({ message }: Error): void {
    if (this.isLost) return;
    this.isLost = true;
    this.clear();
    this.io.say(`${message}; asking again`);
    this.draw();
  }

  /** The terminal as it was, for good. */
  leave(): void {
    this.stopTicking();
    this.clear();
  }

  private stopTicking(): void {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.ticker = null;
  }

  private clear(): void {
    if (this.drawn > 0) this.io.writeError(`\u001b[${this.drawn}A\r\u001b[J`);
    this.drawn = 0;
  }

  private draw(): void {
    if (!this.io.stderr.terminal || this.silent) return;
    const width = this.io.stderr.width();
    const now = performance.now();
    const lines = [...this.shown].map(([name, { instance, since }]) => progressLine(name, instance, now - since));
    const text = lines.map((line) => `\r\u001b[K${fit(oneLine(line), width)}\n`).join("");
    this.io.writeError(`${this.drawn > 0 ? `\u001b[${this.drawn}A` : ""}${text}`);
    this.drawn = lines.length;
  }

  private tell(name: string, stage: string): void {
    if (this.stages.get(name) === stage) return;
    this.stages.set(name, stage);
    this.io.say(`${name}: ${stage}`);
  }
}
