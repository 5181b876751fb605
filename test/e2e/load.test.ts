import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import type { Instance } from "../../src/contract/index.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { residentMib } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Everything at once: no client waits for another, readers miss nothing, and memory is bounded. */

setDefaultTimeout(120_000);

/** SOLAR_TEST_LONG=1 keeps it up for half a minute. */
const SECONDS = process.env.SOLAR_TEST_LONG === undefined ? 5 : 30;
const LINES_A_SECOND = 100_000;
const SUBSCRIBERS = 200;
/** So many that what is kept for them shows, where the daemon does not wait for those who do not read. */
const STALLED = 10;
const REQUESTS_A_SECOND = 500;
/** What is bearable where the tests share two cores with what they measure: scripts/bench measures better. */
const BEARABLE_MS = 3000;
const MOST_GROWTH_MIB = 150;

const running = async (daemon: TestDaemon, fault: Record<string, unknown>, alias: string): Promise<Instance> => {
  const { id } = await daemon.createFake(fault, { alias });
  return (await daemon.start(id)).body.instance;
};

const write = async (instance: Instance, query: string): Promise<{ ms: number }> => {
  const answer = await fetch(`http://127.0.0.1:${instance.port}/write?${query}`, {
    method: "POST",
    headers: { Authorization: "Bearer instance-key" },
  });
  return (await answer.json()) as { ms: number };
};

const percentile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;

/** Looks at the seq of each frame and keeps none. */
class CountingFollower {
  next = 0;
  problem: string | null = null;
  readonly delays: number[] = [];
  readonly opened: Promise<void>;
  private readonly socket: WebSocket;

  constructor(daemon: TestDaemon, id: string) {
    const url = `ws://127.0.0.1:${daemon.port}/instances/${id}/logs?after=-1`;
    this.socket = new WebSocket(url, { headers: { "X-API-Key": KEY } } as never);
    this.opened = new Promise((resolve) => {
      this.socket.onopen = () => resolve();
    });
    this.socket.onmessage = ({ data }) => this.take(String(data));
  }

  close(): void {
    this.socket.close();
  }

  private take(frame: string): void {
    const seq = Number(/^\{"seq":(\d+),/.exec(frame)?.[1] ?? Number.NaN);
    if (seq !== this.next) this.problem ??= `${frame.slice(0, 100)} where seq ${this.next} should be`;
    this.next = seq + 1;
    const written = /"line \d+ (\d+\.\d+)/.exec(frame)?.[1];
    if (written !== undefined) this.delays.push(performance.timeOrigin + performance.now() - Number(written));
  }
}

/** A subscriber that shakes hands and reads nothing any more. */
const stall = async (daemon: TestDaemon, id: string): Promise<{ destroy(): void }> => {
  const socket = connect(daemon.port, "127.0.0.1");
  const head = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", `X-API-Key: ${KEY}`];
  socket.write(
    `GET /instances/${id}/logs?after=-1 HTTP/1.1\r\nHost: x\r\n${head.join("\r\n")}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  await new Promise<void>((resolve) =>
    socket.once("data", () => {
      socket.pause();
      resolve();
    }),
  );
  return socket;
};

/** Asks at a steady rate, whether or not the answers keep up. */
const askSteadily = async (daemon: TestDaemon, paths: readonly string[], seconds: number): Promise<number[]> => {
  const took: Promise<number>[] = [];
  const began = performance.now();
  const ask = async (path: string): Promise<number> => {
    const asked = performance.now();
    const { status } = await daemon.request("GET", path);
    if (status !== 200) throw new Error(`${path}: ${status}`);
    return performance.now() - asked;
  };
  while (performance.now() - began < seconds * 1000) {
    const due = Math.floor(((performance.now() - began) * REQUESTS_A_SECOND) / 1000);
    while (took.length < due) took.push(ask(paths[took.length % paths.length] ?? "/health"));
    await Bun.sleep(2);
  }
  return Promise.all(took);
};

describe("under load", () => {
  test("readers miss nothing, no client waits for another, memory is bounded", async () => {
    // The ring holds 10 ms of the loud one.
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: String(LINES_A_SECOND / 100) } });
    const loud = await running(daemon, {}, "loud");
    const followed = await running(daemon, {}, "followed");
    const reader = new CountingFollower(daemon, loud.id);
    const stalled = await Promise.all(Array.from({ length: STALLED }, () => stall(daemon, loud.id)));
    const subscribers = Array.from({ length: SUBSCRIBERS }, () => new CountingFollower(daemon, followed.id));
    await Promise.all([reader, ...subscribers].map(({ opened }) => opened));
    const before = residentMib(daemon.process.pid);
    let most = before;
    const look = setInterval(() => {
      most = Math.max(most, residentMib(daemon.process.pid));
    }, 50);
    const paths = ["/instances", `/instances/${loud.id}`, `/instances/${loud.id}/state`, "/health"];
    const [loudly, , took] = await Promise.all([
      write(loud, `lines=${LINES_A_SECOND * SECONDS}&rate=${LINES_A_SECOND}`),
      write(followed, `lines=${20 * SECONDS}&rate=20&stamp=1`),
      askSteadily(daemon, paths, SECONDS),
    ]);
    await until("the reader to have it all", () => reader.next >= LINES_A_SECOND * SECONDS, 60_000);
    const total = (await daemon.logs(followed.id, "?tail=1")).at(-1)?.seq ?? 0;
    await until("each subscriber to have it all", () => subscribers.every(({ next }) => next === total + 1));
    clearInterval(look);
    const delays = subscribers.flatMap((one) => one.delays);
    const figures = {
      lines_a_second: Math.round((LINES_A_SECOND * SECONDS * 1000) / loudly.ms),
      requests: took.length,
      request_ms: [0.5, 0.99, 1].map((part) => Math.round(percentile(took, part) * 10) / 10),
      subscriber_ms: [0.5, 0.99, 1].map((part) => Math.round(percentile(delays, part) * 10) / 10),
      rss_mib: [before, most].map(Math.round),
    };
    console.log(`load: ${JSON.stringify(figures)}`);
    expect([reader, ...subscribers].map(({ problem }) => problem).filter((problem) => problem !== null)).toEqual([]);
    expect(delays.length).toBe(SUBSCRIBERS * 20 * SECONDS);
    expect(percentile(took, 0.99)).toBeLessThan(BEARABLE_MS);
    expect(percentile(delays, 0.99)).toBeLessThan(BEARABLE_MS);
    expect(took.length).toBeGreaterThan(REQUESTS_A_SECOND * SECONDS * 0.9);
    expect(most - before).toBeLessThan(MOST_GROWTH_MIB);
    for (const one of stalled) one.destroy();
    for (const follower of [reader, ...subscribers]) follower.close();
  });
});
