import { gapFrame, logLine } from "../contract/frames.ts";
import type { Api } from "./api.ts";
import { getInstance, instancePath } from "./calls.ts";
import type { Io } from "./io.ts";
import { LiveSocket, notUnderstood, parseFrame } from "./live-socket.ts";
import type { LogPrinter, LogSource } from "./log-printer.ts";

/** Follows one log: each line once and in order, however often the connection breaks. */

/** Bytes that stdout has not taken at which nothing more is fetched, so that a slow reader costs no memory. */
const FULL_BYTES = 8 * 1024 * 1024;

export class LogFollower {
  private readonly socket: LiveSocket;
  private draining = false;

  /** @param last seq up to which everything was printed */
  constructor(
    private readonly io: Io,
    api: Api,
    private readonly source: LogSource,
    private readonly printer: LogPrinter,
    private last: number,
  ) {
    const { id, name } = source;
    this.socket = new LiveSocket(api, name, {
      check: (options) => getInstance(api, id, options),
      path: () => `${instancePath(id, "/logs")}?after=${this.last}`,
      frame: (text) => this.frame(text),
      say: io.say,
    });
  }

  run(): Promise<never> {
    return this.socket.run();
  }

  /** After a write: waits for a reader that is slower than the log. */
  heed(): void {
    if (this.draining || this.io.stdout.waiting() < FULL_BYTES) return;
    this.draining = true;
    this.socket.pause();
    void this.io.stdout.drained().then(() => {
      this.draining = false;
      this.socket.resume();
    });
  }

  private frame(text: string): void {
    const frame = parseFrame(text);
    const line = logLine.safeParse(frame);
    if (line.success) {
      const { seq } = line.data;
      if (seq <= this.last) return;
      this.skipTo(seq - 1);
      this.last = seq;
      this.printer.print(this.source.id, line.data);
      return;
    }
    const gap = gapFrame.safeParse(frame);
    if (!gap.success) throw notUnderstood(this.source.name, text, line.error);
    this.skipTo(gap.data.to);
  }

  private skipTo(to: number): void {
    if (to <= this.last) return;
    this.printer.tellGap(this.source.name, this.last + 1, to);
    this.last = to;
  }
}
