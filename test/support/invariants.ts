import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance, LogLine } from "../../src/contract/index.ts";
import { socketInodes } from "../../src/process/proc.ts";
import type { TestDaemon } from "./daemon.ts";
import { isAlive, modelServersOf } from "./processes.ts";
import { until } from "./until.ts";

/** What must hold at any time, whatever was killed. */

const STATUSES = ["stopped", "starting", "running", "failed", "stopping"];
const PAGE = 10_000;

export const listOf = async (daemon: TestDaemon): Promise<Instance[]> =>
  (await daemon.request<Instance[]>("GET", "/instances")).body;

/** Of one list: legal statuses, and no process and no port twice. */
export const expectSound = (instances: readonly Instance[]): void => {
  for (const { status, pid, port, error_message, id } of instances) {
    expect(STATUSES).toContain(status);
    if (status === "running") expect([id, typeof pid, typeof port]).toEqual([id, "number", "number"]);
    if (status === "stopped") expect([id, pid, port]).toEqual([id, null, null]);
    if (status === "failed") expect([id, pid, error_message]).toEqual([id, null, expect.any(String)]);
  }
  for (const taken of [instances.map(({ pid }) => pid), instances.map(({ port }) => port)]) {
    const given = taken.filter((value) => value !== null);
    expect(new Set(given).size).toBe(given.length);
  }
};

/** A process is started, serves, and is ended: none goes back, and none that was replaced comes again. */
export class LifeCheck {
  private readonly lives = new Map<string, { pid: number; status: string; gone: Set<number> }>();

  /** @param instances one list of one daemon; the lists are taken in their order */
  take(instances: readonly Instance[]): void {
    const order = ["starting", "running", "stopping"];
    for (const { id, pid, status } of instances) {
      if (pid === null) continue;
      const life = this.lives.get(id);
      if (life?.gone.has(pid)) throw new Error(`${id} is ${status} with process ${pid} again`);
      if (life?.pid === pid && order.indexOf(status) < order.indexOf(life.status)) {
        throw new Error(`${id} is ${status} after it was ${life.status}, with process ${pid} all the while`);
      }
      const gone = life?.gone ?? new Set();
      if (life !== undefined && life.pid !== pid) gone.add(life.pid);
      this.lives.set(id, { pid, status, gone });
    }
  }
}

const LISTENING = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A (?:\S+ +){5}(\d+)/gm;

/** The ports on which these processes listen, as the system knows it. */
export const portsOf = (pids: readonly number[]): Map<number, number[]> => {
  const held = new Map(pids.map((pid) => [pid, socketInodes(pid) ?? []]));
  const ports = new Map<string, number>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"].filter(existsSync)) {
    for (const [, port = "", inode = ""] of readFileSync(table, "latin1").matchAll(LISTENING)) {
      ports.set(inode, Number.parseInt(port, 16));
    }
  }
  return new Map([...held].map(([pid, inodes]) => [pid, inodes.flatMap((inode) => ports.get(inode) ?? [])]));
};

/** No two model servers listen on one port, whatever the list says; and one that runs listens on the port of the list. */
export const expectOwnPorts = async (dir: string, instances: readonly Instance[]): Promise<void> => {
  const held = portsOf(modelServersOf(dir));
  const taken = [...held.values()].flat();
  const twice = taken.find((port, n) => taken.indexOf(port) !== n);
  if (twice !== undefined) throw new Error(`two processes listen on port ${twice}`);
  for (const { id, status, pid, port } of instances) {
    if (status !== "running" || pid === null || port === null || held.get(pid)?.includes(port)) continue;
    await until(
      `${id} to listen on ${port} with process ${pid}, or to be gone`,
      () => portsOf([pid]).get(pid)?.includes(port) || !isAlive(pid),
    );
  }
};

/** Waits until nothing is under way; then what runs is exactly what the list says. */
export const whenSettled = async (daemon: TestDaemon): Promise<Instance[]> => {
  const settled = await until(
    "nothing to be under way, and each process to be an instance's",
    async () => {
      const instances = await listOf(daemon);
      expectSound(instances);
      if (instances.some(({ status }) => status === "starting" || status === "stopping")) return null;
      const known = instances.flatMap(({ pid }) => (pid === null ? [] : [pid])).sort((a, b) => a - b);
      const running = modelServersOf(daemon.dir);
      // An instance may have crashed between the two looks.
      return JSON.stringify(known) === JSON.stringify(running) && known.every(isAlive) ? instances : null;
    },
    60_000,
  );
  return settled;
};

/** Nothing that an earlier daemon had half written is left. */
export const expectNoRests = ({ dir, process }: TestDaemon): void => {
  const names = [dir, join(dir, ".solar-host/instances")].flatMap((folder) => readdirSync(folder));
  expect(names.filter((name) => name.includes(".tmp") && !name.includes(`.${process.pid}.tmp`))).toEqual([]);
};

/** Reads a log on from where it was left: no seq is missing and none comes twice. */
export class LogCheck {
  private next = 0;
  /** Of the numbered lines that the fake server writes, over all its starts. */
  numbers = 0;

  constructor(private readonly id: string) {}

  get lines(): number {
    return this.next;
  }

  async readOn(daemon: TestDaemon): Promise<void> {
    for (;;) {
      const lines = await daemon.logs(this.id, `?after=${this.next - 1}&limit=${PAGE}`);
      this.take(lines);
      if (lines.length < PAGE) return;
    }
  }

  private take(lines: readonly LogLine[]): void {
    for (const { seq, line } of lines) {
      if (seq !== this.next) throw new Error(`log of ${this.id}: seq ${seq} where ${this.next} should be`);
      this.next += 1;
      const number = /^line (\d+)/.exec(line)?.[1];
      if (number === undefined) continue;
      const expected = Number(number) === 1 ? 1 : this.numbers + 1;
      if (Number(number) !== expected) throw new Error(`log of ${this.id}: line ${number} after line ${this.numbers}`);
      this.numbers = Number(number);
    }
  }
}
