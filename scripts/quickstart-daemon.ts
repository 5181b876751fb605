import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readEnvFile } from "../src/store/settings.ts";

/** The daemon of the quickstart: the built binary in a folder of its own, and how to ask it. */

/** Something a person can do about; the message says what. */
export class QuickstartError extends Error {}

const LISTEN_LIMIT_MS = 30_000;
const KEPT_LINES = 50;

export interface DaemonPlace {
  binary: string;
  dir: string;
  /** 0 takes a free one. */
  port: number;
}

const isProxy = (name: string): boolean => /^(https?|all)_proxy$/i.test(name);

/** What we ask is on this machine: no proxy is to stand in between. The daemon still gets its settings. */
const takeEnvironment = (): Record<string, string | undefined> => {
  const env = { ...process.env };
  for (const name of Object.keys(process.env)) if (isProxy(name)) delete process.env[name];
  // A key of something else's; ours is in the folder's .env.
  for (const name of Object.keys(env)) if (name.toUpperCase() === "API_KEY") delete env[name];
  return env;
};

export class QuickstartDaemon {
  /** Base of its addresses; known once it listens. */
  url = "";
  private readonly lines: string[] = [];
  private passOn = false;

  private constructor(
    private readonly child: Bun.Subprocess<"ignore", "ignore", "pipe">,
    private readonly place: DaemonPlace,
  ) {}

  /** @param onSpawn told of the daemon before it listens, so that an interrupt ends it */
  static async start(place: DaemonPlace, onSpawn: (daemon: QuickstartDaemon) => void): Promise<QuickstartDaemon> {
    mkdirSync(place.dir, { recursive: true, mode: 0o700 });
    const flags = ["--host=127.0.0.1", `--port=${place.port}`, "--config-file=config.json", "--log-dir=logs"];
    const child = Bun.spawn([place.binary, "serve", ...flags, "--log-format=human", "--log-level=info"], {
      cwd: place.dir,
      env: takeEnvironment(),
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      // Ctrl-C reaches us alone, and we end the daemon once.
      detached: true,
    });
    const daemon = new QuickstartDaemon(child, place);
    onSpawn(daemon);
    void daemon.readLog();
    await daemon.untilItListens();
    return daemon;
  }

  get exited(): Promise<number> {
    return this.child.exited;
  }

  /** SIGTERM: it stops its instances and ends; a second one hurries it. */
  end(): Promise<number> {
    this.child.kill("SIGTERM");
    return this.child.exited;
  }

  /** Shows its log from now on. */
  showLog(): void {
    this.passOn = true;
  }

  /** The answer's body. @throws QuickstartError with what the daemon says is wrong */
  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, answer } = await this.request(method, path, body);
    if (status === 200) return answer as T;
    throw new QuickstartError(`${method} ${path} was answered ${status}: ${JSON.stringify(answer)}`);
  }

  async request(method: string, path: string, body?: unknown): Promise<{ status: number; answer: unknown }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { "X-API-Key": this.key, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, answer: await response.json() };
  }

  private get key(): string {
    return readEnvFile(join(this.place.dir, ".env")).API_KEY ?? "";
  }

  private async readLog(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.child.stderr) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.lines.push(line);
        if (this.passOn) process.stderr.write(`${line}\n`);
      }
      this.lines.splice(0, this.lines.length - KEPT_LINES);
    }
  }

  private async untilItListens(): Promise<void> {
    const until = performance.now() + LISTEN_LIMIT_MS;
    while (this.url === "") {
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw this.whyItEnded();
      if (performance.now() > until) {
        throw new QuickstartError(`the daemon does not listen after 30 s. Its log:\n${this.lines.join("\n")}`);
      }
      await Bun.sleep(10);
      this.url = this.lines.map((line) => / listens on (http:\S+)/.exec(line)?.[1]).find(Boolean) ?? "";
    }
  }

  private whyItEnded(): QuickstartError {
    const said = this.lines.filter((line) => line.startsWith("solar-host: ")).join("\n") || this.lines.join("\n");
    const other = /another solar-host \(pid (\d+)\)/.exec(said)?.[1];
    if (other !== undefined) {
      return new QuickstartError(`a quickstart runs already: use that one, or end it by: kill ${other}`);
    }
    if (!said.includes("already in use")) return new QuickstartError(`the daemon did not start. It says:\n${said}`);
    const next = this.place.port + 1;
    return new QuickstartError(
      `another program listens on port ${this.place.port}. Stop that, or take another port: ./scripts/quickstart --port ${next}`,
    );
  }
}
