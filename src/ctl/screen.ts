import { emitKeypressEvents, type Interface, type Key } from "node:readline";
import type { Io } from "./io.ts";

/** A screen of its own on the terminal, drawn over in place; what was there before comes back at the end. */

const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE_END = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
/** For so long an escape may be the beginning of a key. */
const ESCAPE_MS = 50;

export interface ScreenHandlers {
  /** A character, or the name of a key; never an interrupt. */
  key(key: string): void;
  /** Ctrl-C or a signal; the screen is already left. */
  interrupted(code: number): void;
  resized(): void;
}

export class Screen {
  private open = false;

  constructor(
    private readonly io: Io,
    private readonly handlers: ScreenHandlers,
  ) {}

  enter(): void {
    this.open = true;
    this.io.write(ENTER);
    const { stdin, stdout } = process;
    if (this.io.stdin.terminal) {
      // In raw mode Ctrl-C is a key like any other.
      stdin.setRawMode(true);
      emitKeypressEvents(stdin, { escapeCodeTimeout: ESCAPE_MS } as unknown as Interface);
      stdin.on("keypress", this.take);
      stdin.resume();
    }
    stdout.on("resize", this.handlers.resized);
    process.once("SIGTERM", () => this.interrupt(143));
    process.once("SIGHUP", () => this.interrupt(129));
  }

  draw(lines: readonly string[]): void {
    if (!this.open) return;
    const rows = process.stdout.rows || 24;
    const text = lines.slice(0, rows).map((line) => `${line}${CLEAR_LINE_END}`);
    this.io.write(`${HOME}${text.join("\r\n")}${lines.length < rows ? `\r\n${CLEAR_BELOW}` : ""}`);
  }

  leave(): void {
    if (!this.open) return;
    this.open = false;
    const { stdin, stdout } = process;
    stdout.off("resize", this.handlers.resized);
    if (this.io.stdin.terminal) {
      stdin.off("keypress", this.take);
      stdin.setRawMode(false);
      stdin.pause();
    }
    this.io.write(LEAVE);
  }

  private interrupt(code: number): void {
    this.leave();
    this.handlers.interrupted(code);
  }

  private readonly take = (text: string | undefined, { name, ctrl }: Key): void => {
    if (ctrl && name === "c") this.interrupt(130);
    else if (text !== undefined && text >= " " && text !== "\u007f") this.handlers.key(text);
    else if (name !== undefined) this.handlers.key(name === "return" ? "enter" : name);
  };
}
