import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestDaemon } from "./daemon.ts";
import { requireBinary } from "./paths.ts";
import { until } from "./until.ts";

/** `solar-host ctl` of the built binary, as a user with a home of his own runs it. */

export interface Done {
  code: number;
  out: string;
  err: string;
}

export interface CtlOptions {
  stdin?: string | Uint8Array<ArrayBuffer>;
  cwd?: string;
  env?: Record<string, string>;
}

/** The same environment for a shell, a terminal and the program alone. */
export const ctlEnv = (home: string): Record<string, string> => ({
  PATH: `${dirname(requireBinary())}:${process.env.PATH ?? ""}`,
  HOME: home,
  XDG_STATE_HOME: join(home, "xdg-state"),
  XDG_CONFIG_HOME: join(home, "xdg-config"),
  TMPDIR: join(home, "tmp"),
  TERM: "xterm-256color",
});

/** Where a daemon writes whose home is its folder is where a client finds it that has the same home. */
export class Ctl {
  constructor(
    readonly home: string,
    readonly env: Record<string, string> = {},
  ) {
    mkdirSync(join(home, "tmp"), { recursive: true });
  }

  static of(daemon: TestDaemon): Ctl {
    return new Ctl(daemon.dir);
  }

  readonly binary = requireBinary();

  environment(more: Record<string, string> = {}): Record<string, string> {
    return { ...ctlEnv(this.home), ...this.env, ...more };
  }

  spawn(args: readonly string[], { cwd = "/", env = {}, stdin }: CtlOptions = {}) {
    return Bun.spawn([this.binary, "ctl", ...args], {
      cwd,
      env: this.environment(env),
      stdin: stdin === undefined ? "ignore" : new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async run(args: readonly string[], options: CtlOptions = {}): Promise<Done> {
    const child = this.spawn(args, options);
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, out, err };
  }

  /** A command that has to end well. */
  async ok(args: readonly string[], options: CtlOptions = {}): Promise<string> {
    const { code, out, err } = await this.run(args, options);
    if (code !== 0) throw new Error(`ctl ${args.join(" ")} ended with ${code}: ${err}`);
    return out;
  }

  async json<T>(args: readonly string[], options: CtlOptions = {}): Promise<T> {
    return JSON.parse(await this.ok([...args, "--json"], options)) as T;
  }
}

/** A program on a pseudo-terminal, in a tmux server of its own. */
export class Terminal {
  private constructor(private readonly socket: string) {}

  static async open(command: string, env: Record<string, string>, width = 100, height = 30): Promise<Terminal> {
    const terminal = new Terminal(`solar-host-test-${process.pid}-${crypto.randomUUID().slice(0, 8)}`);
    // Given by env, since the shell that tmux starts has a mind of its own about PATH.
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    // What it ended with stays on the screen, so that it can be waited for; an interrupt is for the program alone.
    const shell = ["env", "-i", ...variables, "sh", "-c", `trap : INT; ${command}; echo "ended with $?"; exec cat`];
    const size = ["-x", String(width), "-y", String(height)];
    terminal.tmux("-f", "/dev/null", "new-session", "-d", ...size, ...shell);
    return terminal;
  }

  screen(): string {
    return this.tmux("capture-pane", "-p").trimEnd();
  }

  /** With the escapes of colours. */
  painted(): string {
    return this.tmux("capture-pane", "-p", "-e");
  }

  type(...keys: string[]): void {
    this.tmux("send-keys", ...keys);
  }

  async shows(text: string | RegExp, limitMs?: number): Promise<string> {
    let screen = "";
    const shown = (): string | null => {
      screen = this.screen();
      return (typeof text === "string" ? screen.includes(text) : text.test(screen)) ? screen : null;
    };
    return await until(`the terminal to show ${text}`, shown, limitMs).catch((error: Error) => {
      throw new Error(`${error.message}; it shows:\n${screen}`);
    });
  }

  [Symbol.dispose](): void {
    // It is gone already where the program took it along; that is told by what was waited for.
    Bun.spawnSync(["tmux", "-L", this.socket, "kill-server"], { stderr: "ignore" });
  }

  private tmux(...args: string[]): string {
    const done = Bun.spawnSync(["tmux", "-L", this.socket, ...args], { stderr: "pipe" });
    if (done.exitCode !== 0) throw new Error(`tmux ${args[0]}: ${done.stderr}`);
    return done.stdout.toString();
  }
}
