import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GenerationMetrics, Instance, InstanceAnswer, LogLine, RuntimeState } from "../../src/contract/index.ts";
import { fakeServer, requireBinary } from "./paths.ts";
import { until } from "./until.ts";

/** A real daemon: the built binary in a folder of its own, on ports of its own, driven over HTTP. */

export const KEY = "key-of-the-tests-3f9a";

export interface DaemonOptions {
  /** Folder of an earlier daemon, to come back in. */
  dir?: string;
  env?: Record<string, string>;
  args?: string[];
  /** llama-server of its instances; the fake one unless given. */
  llamaServer?: string;
  /** Another program than the built one. */
  binary?: string;
  /** What stands before the binary's name on the command line. */
  under?: string[];
}

export interface Answer<T> {
  status: number;
  body: T;
}

/** Ports below the ephemeral range, spread over test processes; the daemon probes each before it takes it. */
let nextStartPort = 20_000 + (process.pid % 100) * 100;

export class TestDaemon {
  stderr = "";

  private constructor(
    readonly dir: string,
    readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">,
    readonly options: DaemonOptions,
    public port: number,
  ) {}

  static async start(options: DaemonOptions = {}): Promise<TestDaemon> {
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), "solar-host-test-"));
    nextStartPort += 20;
    const child = Bun.spawn(
      [...(options.under ?? []), options.binary ?? requireBinary(), "serve", ...(options.args ?? [])],
      {
        cwd: dir,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: {
          PATH: process.env.PATH ?? "",
          HOME: dir,
          XDG_STATE_HOME: join(dir, "xdg-state"),
          API_KEY: KEY,
          HOST: "127.0.0.1",
          PORT: "0",
          START_PORT: String(nextStartPort),
          LLAMA_SERVER: options.llamaServer ?? fakeServer,
          ...options.env,
        },
      },
    );
    const daemon = new TestDaemon(dir, child, options, 0);
    void daemon.collect();
    const port = await until("the daemon to listen", () => {
      const match = /listens on http:\/\/\S+:(\d+)/.exec(daemon.stderr);
      return match !== null ? Number(match[1]) : child.exitCode !== null || child.signalCode !== null ? "none" : null;
    });
    if (port === "none")
      throw new Error(`the daemon exited with ${child.signalCode ?? child.exitCode}: ${daemon.stderr}`);
    daemon.port = port;
    return daemon;
  }

  /** The next daemon in the same folder, with the same settings. */
  again(options: Partial<DaemonOptions> = {}): Promise<TestDaemon> {
    return TestDaemon.start({ ...this.options, ...options, dir: this.dir });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = { "X-API-Key": KEY },
  ): Promise<Answer<T>> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: (text === "" ? null : JSON.parse(text)) as T };
  }

  async create(config: Record<string, unknown>): Promise<Instance> {
    const answer = await this.request<InstanceAnswer>("POST", "/instances", { config });
    if (answer.status !== 200) throw new Error(`create: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body.instance;
  }

  /** Creates an instance of the fake server; `fault` is what it is to do wrong. */
  createFake(fault: Record<string, unknown> = {}, config: Record<string, unknown> = {}): Promise<Instance> {
    const model = join(this.dir, `fault-${crypto.randomUUID()}.json`);
    writeFileSync(model, JSON.stringify(fault));
    return this.create({ model, alias: "fake", api_key: "instance-key", host: "127.0.0.1", ...config });
  }

  start(id: string, wait?: number): Promise<Answer<InstanceAnswer & { detail?: string }>> {
    return this.request("POST", `/instances/${id}/start${wait === undefined ? "" : `?wait=${wait}`}`);
  }

  stop(id: string): Promise<Answer<InstanceAnswer & { detail?: string }>> {
    return this.request("POST", `/instances/${id}/stop`);
  }

  async get(id: string): Promise<Instance> {
    return (await this.request<Instance>("GET", `/instances/${id}`)).body;
  }

  async state(id: string): Promise<RuntimeState> {
    return (await this.request<RuntimeState>("GET", `/instances/${id}/state`)).body;
  }

  lastGeneration(id: string, query = ""): Promise<Answer<GenerationMetrics & { detail?: string }>> {
    return this.request("GET", `/instances/${id}/last-generation${query}`);
  }

  async logs(id: string, query = ""): Promise<LogLine[]> {
    return (await this.request<LogLine[]>("GET", `/instances/${id}/logs${query}`)).body;
  }

  whenStatus(id: string, status: Instance["status"], limitMs?: number): Promise<Instance> {
    return until(
      `${id} to be ${status}`,
      async () => {
        const instance = await this.get(id);
        return instance.status === status ? instance : null;
      },
      limitMs,
    );
  }

  socket(path: string, headers: Record<string, string> = { "X-API-Key": KEY }): TestSocket {
    return new TestSocket(`ws://127.0.0.1:${this.port}${path}`, headers);
  }

  /** SIGKILL, as a crash of the daemon would be. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  /** SIGTERM; gives the exit code. */
  async end(): Promise<number> {
    this.process.kill("SIGTERM");
    return this.process.exited;
  }

  /** Asks again and again, as a person who presses Ctrl-C; gives the exit code. */
  async hurry(): Promise<number> {
    await until("the daemon to have gone", () => {
      this.process.kill("SIGINT");
      return this.process.exitCode !== null || this.process.signalCode !== null;
    });
    return this.process.exited;
  }

  /** Ends it with everything that it started, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.end();
    rmSync(this.dir, { recursive: true, force: true });
  }

  configFile(): { instances: Record<string, unknown>[] } {
    return JSON.parse(readFileSync(join(this.dir, "config.json"), "utf8"));
  }

  private async collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stderr) this.stderr += decoder.decode(chunk, { stream: true });
  }
}

/** A WebSocket client that keeps each frame. */
export class TestSocket {
  readonly frames: Record<string, unknown>[] = [];
  readonly opened: Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly socket: WebSocket;

  constructor(url: string, headers: Record<string, string>, protocols: string[] = []) {
    this.socket = new WebSocket(url, { headers, protocols } as never);
    this.opened = new Promise((resolve, reject) => {
      this.socket.onopen = () => resolve();
      this.socket.onerror = () => reject(new Error(`cannot open ${url}`));
    });
    this.opened.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.onclose = (event) => resolve({ code: event.code, reason: event.reason });
    });
    this.socket.onmessage = (event) => {
      this.frames.push(JSON.parse(String(event.data)));
    };
  }

  get protocol(): string {
    return this.socket.protocol;
  }

  close(): void {
    this.socket.close();
  }
}
