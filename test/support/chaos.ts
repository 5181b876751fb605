import type { Instance, InstanceAnswer } from "../../src/contract/index.ts";
import type { Answer, TestDaemon, TestSocket } from "./daemon.ts";
import { below } from "./random.ts";

/** Clients that do anything at any time to a daemon that dies at any time, and know what they were promised. */

export type Random = () => number;

/** The daemon of the moment, and how often it was another one. */
export interface Arena {
  daemon: TestDaemon;
  over: boolean;
}

/** What the answers so far have promised of an instance. Null: it was asked for, and no answer came. */
export interface Promised {
  id: string;
  alias: string | null;
  desired: "running" | "stopped" | null;
  exists: boolean | null;
  /** Whether its model server would run for ever if it were left alone. */
  steady: boolean;
}

const faults: { steady: boolean; fault: Record<string, unknown> }[] = [
  { steady: true, fault: {} },
  { steady: true, fault: { lines: 100_000, rate: 400 } },
  { steady: true, fault: { readyAfterMs: 300, grandchild: true } },
  { steady: true, fault: { ignoreSigterm: true, lines: 2000 } },
  { steady: false, fault: { exitCode: 3, exitAfterMs: 900, lines: 50, lastWords: "out of luck" } },
  { steady: false, fault: { exitCode: 1 } },
];

/** Null where no answer came: the daemon died, or was dead. */
const answerOf = async <T>(request: Promise<Answer<T>>): Promise<Answer<T> | null> => {
  try {
    return await request;
  } catch (error) {
    if (error instanceof TypeError || (error as { code?: string }).code !== undefined) return null;
    throw error;
  }
};

/** Besides 200, and 503 of a daemon that is ending. No client asks for what is not there, so that none is a 404. */
const LEGAL: Record<string, number[]> = {
  GET: [],
  // It is neither stopped nor failed.
  PUT: [400],
  DELETE: [400],
  // A stop overtook it, which is the daemon's own at its end.
  start: [409],
  restart: [409],
  stop: [],
};

/** What becomes of model servers here: they are killed, or end by themselves where that is their fault. */
const whyItFailed = ({ steady }: Promised): RegExp =>
  new RegExp(
    `^Failed to (re)?start instance: .*the model server (was killed by SIG(KILL|TERM)|ended|exited with code (${steady ? "0|143" : "0|143|1|3"})\\b)`,
    "s",
  );

const isLegal = (what: string, target: Promised, { status, body }: Answer<unknown>): boolean => {
  if (status === 200 || status === 503 || LEGAL[what]?.includes(status)) return true;
  const { detail } = body as { detail?: unknown };
  return status === 500 && /start$/.test(what) && whyItFailed(target).test(String(detail));
};

/** One client. No other client changes its instances, so that it knows what they should be. */
export class ChaosClient {
  readonly promised: Promised[] = [];
  operations = 0;
  private aliases = 0;

  constructor(
    private readonly name: string,
    private readonly arena: Arena,
    private readonly random: Random,
    private readonly mostInstances: number,
  ) {}

  async run(): Promise<void> {
    while (!this.arena.over) {
      await this.step();
      await Bun.sleep(below(this.random, 60));
    }
  }

  private async step(): Promise<void> {
    const known = this.promised.filter(({ exists }) => exists === true);
    const dice = this.random();
    const target = known[below(this.random, Math.max(1, known.length))];
    if (target === undefined || (known.length < this.mostInstances && dice < 0.2)) return this.create();
    if (dice < 0.45) return this.start(target);
    if (dice < 0.65) return this.stop(target);
    if (dice < 0.8) return this.restart(target);
    if (dice < 0.93) return this.rename(target);
    return this.remove(target);
  }

  /** @param what a method, or an operation with its query */
  private async ask<T>(target: Promised, what: string, body?: unknown): Promise<Answer<T> | null> {
    this.operations += 1;
    const [method, path] = /^[A-Z]/.test(what) ? [what, ""] : ["POST", `/${what}`];
    const answer = await answerOf(this.arena.daemon.request<T>(method, `/instances/${target.id}${path}`, body));
    if (answer !== null && !isLegal(what.replace(/\?.*/, ""), target, answer)) {
      const { status, body } = answer;
      throw new Error(`${this.name}: ${what} of ${JSON.stringify(target)}: ${status} ${JSON.stringify(body)}`);
    }
    return answer;
  }

  private async create(): Promise<void> {
    const { steady, fault } = faults[below(this.random, faults.length)] ?? faults[0] ?? { steady: true, fault: {} };
    const alias = this.nextAlias();
    const created = await answerOf(
      this.arena.daemon
        .createFake(fault, { alias, priority: below(this.random, 5) })
        .then((body) => ({ status: 200, body })),
    ).catch((error: Error) => {
      if (/^create: 503/.test(error.message)) return null;
      throw error;
    });
    if (created === null) return;
    this.promised.push({ id: created.body.id, alias, desired: "stopped", exists: true, steady });
  }

  private async start(target: Promised): Promise<void> {
    const answer = await this.ask(target, `start?wait=${below(this.random, 3)}`);
    // One that failed was wanted all the same, where it was not refused at the door.
    if (answer?.status === 200) target.desired = "running";
    else if (answer?.status !== 503 && target.desired !== "running") target.desired = null;
  }

  private async stop(target: Promised): Promise<void> {
    const answer = await this.ask<InstanceAnswer>(target, "stop");
    if (answer?.status === 200) target.desired = "stopped";
    else if (target.desired !== "stopped") target.desired = null;
  }

  private async restart(target: Promised): Promise<void> {
    const answer = await this.ask(target, "restart?wait=1");
    if (answer?.status === 200) target.desired = "running";
    else if (answer?.status !== 503 && target.desired !== "running") target.desired = null;
  }

  private async rename(target: Promised): Promise<void> {
    const seen = await this.ask<Instance>(target, "GET");
    if (seen?.status !== 200) return;
    const alias = this.nextAlias();
    const answer = await this.ask(target, "PUT", { config: { ...seen.body.config, alias } });
    if (answer === null) target.alias = null;
    else if (answer.status === 200) target.alias = alias;
  }

  private async remove(target: Promised): Promise<void> {
    const answer = await this.ask(target, "DELETE");
    if (answer === null) target.exists = null;
    else if (answer.status === 200) target.exists = false;
  }

  private nextAlias(): string {
    this.aliases += 1;
    return `${this.name}-${this.aliases}`;
  }
}

/** Follows one log over all daemons: each line once, in order. */
export class ChaosFollower {
  next = 0;
  problem: string | null = null;
  private socket: TestSocket | null = null;
  private taken = 0;

  constructor(
    readonly id: string,
    private readonly arena: Arena,
  ) {}

  async run(): Promise<void> {
    while (!this.arena.over) {
      this.socket = this.arena.daemon.socket(`/instances/${this.id}/logs?after=${this.next - 1}`);
      this.taken = 0;
      const socket = this.socket;
      const closed = Promise.race([socket.closed.then(() => true), socket.opened.then(() => false).catch(() => true)]);
      let gone = await closed;
      while (!gone && !this.arena.over) {
        this.take(socket);
        gone = await Promise.race([socket.closed.then(() => true), Bun.sleep(25).then(() => false)]);
      }
      this.take(socket);
      socket.close();
      if (socket.frames.some((frame) => "error" in frame)) return;
      await Bun.sleep(20);
    }
  }

  private take({ frames }: TestSocket): void {
    for (; this.taken < frames.length; this.taken++) {
      const frame = frames[this.taken] ?? {};
      if ("error" in frame) continue;
      if (frame.seq !== this.next) {
        this.problem ??= `log of ${this.id}: ${JSON.stringify(frame)} where seq ${this.next} should be`;
        return;
      }
      this.next += 1;
    }
  }
}
