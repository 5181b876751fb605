import { fstatSync, write, writeSync } from "node:fs";
import { errorCode } from "../common/system-error.ts";

/**
 * Data on its way to stdout. Bun's own stream says that nothing waits while a pipe still has to take what it was
 * given, so that leaving loses it and a slow reader is not noticed: what was taken is known here.
 */

const RETRY_MS = 2;

/** A file, or a terminal, takes what it is given; a pipe, or a socket, when its reader has read. */
const mayWait = (fd: number): boolean => {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    // It is closed: the first write says so.
    return false;
  }
};

export class Output {
  private queue: string[] = [];
  private pumping: Promise<void> | null = null;
  private readonly waits: boolean;
  /** Characters that were given and not taken yet. */
  waiting = 0;

  /** @param failed told of a reader that is gone (EPIPE), a disk that is full; is to end the process */
  constructor(
    private readonly fd: number,
    private readonly failed: (code: string) => void,
  ) {
    this.waits = mayWait(fd);
  }

  write(text: string): void {
    if (text === "") return;
    if (!this.waits) {
      this.writeNow(Buffer.from(text));
      return;
    }
    this.queue.push(text);
    this.waiting += text.length;
    this.pumping ??= this.pump();
  }

  /** Resolves when everything was taken. */
  async drained(): Promise<void> {
    while (this.pumping !== null) await this.pumping;
  }

  private writeNow(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.fd, bytes, done);
      } catch (error) {
        // Whoever shares the terminal may have it made non-blocking.
        if (errorCode(error) === "EAGAIN") Bun.sleepSync(RETRY_MS);
        else {
          this.failed(errorCode(error) ?? "");
          return;
        }
      }
    }
  }

  private async pump(): Promise<void> {
    // Not within write(): more may be given in the same turn, and goes out with it.
    await Promise.resolve();
    while (this.queue.length > 0) {
      const text = this.queue.join("");
      this.queue = [];
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) done += await this.writeSome(bytes, done);
      this.waiting -= text.length;
    }
    this.pumping = null;
  }

  private writeSome(bytes: Buffer, from: number): Promise<number> {
    return new Promise((resolve) => {
      write(this.fd, bytes, from, bytes.length - from, null, (error, written) => {
        if (error === null) resolve(written);
        else if (errorCode(error) === "EAGAIN") setTimeout(() => resolve(0), RETRY_MS);
        else this.failed(errorCode(error) ?? "");
      });
    });
  }
}
