import type { LogLine } from "../contract/frames.ts";
import { harmless } from "./foreign-text.ts";
import type { Color, Io, Paint } from "./io.ts";

/** How a line of a log looks, and how many of them get out in one write. */

export interface LogLook {
  json: boolean;
  timestamps: boolean;
  grep: RegExp | null;
}

export interface LogSource {
  id: string;
  name: string;
}

const NAME_COLORS: readonly Color[] = ["cyan", "yellow", "green", "magenta", "blue", "red"];

export class LogPrinter {
  private readonly prefixes = new Map<string, string>();
  private waiting: string[] = [];
  private scheduled = false;
  private readonly several: boolean;
  private readonly clean: (line: string) => string;

  constructor(
    private readonly io: Io,
    private readonly look: LogLook,
    sources: readonly LogSource[],
    /** Told after each write. */
    private readonly onWritten: () => void = () => undefined,
  ) {
    this.several = sources.length > 1;
    const width = Math.max(0, ...sources.map(({ name }) => Bun.stringWidth(name)));
    const { palette, terminal } = io.stdout;
    for (const [at, { id, name }] of sources.entries()) {
      const paint: Paint = palette[NAME_COLORS[at % NAME_COLORS.length] ?? "cyan"];
      this.prefixes.set(id, `${paint(name + " ".repeat(width - Bun.stringWidth(name)))} ${palette.dim("|")} `);
    }
    const colored = palette.dim("x") !== "x";
    this.clean = terminal ? (line) => harmless(line, colored) : (line) => line;
  }

  print(id: string, line: LogLine): void {
    const { grep } = this.look;
    if (grep !== null && !grep.test(line.line)) return;
    this.waiting.push(this.textOf(id, line));
    if (this.scheduled) return;
    this.scheduled = true;
    // What comes in one turn goes out in one write: a write for each line costs more than all the rest.
    setImmediate(() => this.flush());
  }

  /** Lines from..to are no longer held. What came before them stands before it on a terminal too. */
  tellGap(name: string, from: number, to: number): void {
    this.flush();
    this.io.say(`${name}: lines ${from} to ${to} (${to - from + 1}) are missing: their log file is no longer there`);
  }

  flush(): void {
    this.scheduled = false;
    if (this.waiting.length === 0) return;
    const text = `${this.waiting.join("\n")}\n`;
    this.waiting = [];
    this.io.write(text);
    this.onWritten();
  }

  private textOf(id: string, { seq, timestamp, line }: LogLine): string {
    const { json, timestamps } = this.look;
    if (json)
      return JSON.stringify(this.several ? { instance_id: id, seq, timestamp, line } : { seq, timestamp, line });
    const prefix = this.several ? this.prefixes.get(id) : "";
    const time = timestamps ? `${this.io.stdout.palette.dim(timestamp)} ` : "";
    const text = this.clean(line);
    // A colour that a line leaves on ends with it.
    const reset = this.io.stdout.terminal && text.includes("\u001b[") ? "\u001b[0m" : "";
    return `${prefix}${time}${text}${reset}`;
  }
}
