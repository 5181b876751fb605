import { requireBinary } from "./paths.ts";
import { until } from "./until.ts";

/** `solar-host ctl` as it runs on and on: what it has printed so far, and how it ends. */

export interface CtlOptions {
  env?: Record<string, string>;
  cwd: string;
}

/** The environment in which the daemon of this folder is the local one. */
export const ctlEnvironment = (dir: string, env: Record<string, string> = {}): Record<string, string> => ({
  PATH: process.env.PATH ?? "",
  HOME: dir,
  XDG_STATE_HOME: `${dir}/xdg-state`,
  XDG_CONFIG_HOME: `${dir}/xdg-config`,
  ...env,
});

export class CtlProcess {
  stdout = "";
  stderr = "";
  private readonly read: Promise<unknown>;

  private constructor(readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">) {
    this.read = Promise.all([
      this.collect(process.stdout, (text) => {
        this.stdout += text;
      }),
      this.collect(process.stderr, (text) => {
        this.stderr += text;
      }),
    ]);
  }

  static start(words: readonly string[], { cwd, env = {} }: CtlOptions): CtlProcess {
    const command = [requireBinary(), "ctl", ...words];
    return new CtlProcess(
      Bun.spawn(command, {
        cwd,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: ctlEnvironment(cwd, env),
      }),
    );
  }

  /** Runs to its end. */
  static async run(words: readonly string[], options: CtlOptions): Promise<CtlProcess & { code: number }> {
    const ctl = CtlProcess.start(words, options);
    return Object.assign(ctl, { code: await ctl.ended() });
  }

  get lines(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  printed(text: string): Promise<unknown> {
    return until(`ctl to print '${text}'; stderr: ${this.stderr}`, () => {
      if (this.process.exitCode !== null) throw new Error(`it ended with ${this.process.exitCode}: ${this.stderr}`);
      return this.stdout.includes(text);
    });
  }

  said(text: string): Promise<unknown> {
    return until(`ctl to say '${text}'`, () => this.stderr.includes(text));
  }

  /** The exit code, when everything that it printed was read. */
  async ended(): Promise<number> {
    const code = await this.process.exited;
    await this.read;
    return code;
  }

  async interrupt(): Promise<number> {
    this.process.kill("SIGINT");
    return await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null) this.process.kill("SIGKILL");
    await this.ended();
  }

  private async collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  }
}
