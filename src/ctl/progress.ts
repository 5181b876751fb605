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

export class Progress {
  private readonly lines = new Map<string, string>();
  private readonly stages = new Map<string, string>();
  private drawn = 0;
  private readonly began = performance.now();

  constructor(
    private readonly io: Io,
    /** Nothing is shown: the caller wants ids or JSON only. */
    private readonly silent: boolean,
  ) {}

  show(name: string, instance: ListedInstance): void {
    if (this.silent) return;
    if (this.io.stderr.terminal) {
      this.lines.set(name, progressLine(name, instance, performance.now() - this.began));
      this.draw();
    } else this.tell(name, stageOf(instance));
  }

  /** Its line goes; what is said instead stays. */
  end(name: string, message: string | null): void {
    this.clear();
    this.lines.delete(name);
    if (message !== null && !this.silent) this.io.say(message);
    this.draw();
  }

  /** Said above what is drawn, whoever wants ids or JSON only. */
  note(message: string): void {
    this.clear();
    this.io.say(message);
    this.draw();
  }

  /** The terminal as it was. */
  clear(): void {
    if (this.drawn > 0) this.io.writeError(`\u001b[${this.drawn}A\r\u001b[J`);
    this.drawn = 0;
  }

  private draw(): void {
    if (!this.io.stderr.terminal || this.silent) return;
    const width = this.io.stderr.width();
    const text = [...this.lines.values()].map((line) => `\r\u001b[K${fit(oneLine(line), width)}\n`).join("");
    this.io.writeError(`${this.drawn > 0 ? `\u001b[${this.drawn}A` : ""}${text}`);
    this.drawn = this.lines.size;
  }

  private tell(name: string, stage: string): void {
    if (this.stages.get(name) === stage) return;
    this.stages.set(name, stage);
    this.io.say(`${name}: ${stage}`);
  }
}
