import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Instance, LogLine } from "../../src/contract/index.ts";
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
