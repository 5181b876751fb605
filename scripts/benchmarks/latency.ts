import { mkdtempSync, openSync, readSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KEY, TestDaemon } from "../../test/support/daemon.ts";
import { tinyModel } from "../../test/support/paths.ts";
import { until } from "../../test/support/until.ts";
import { startInstance, writerProgram } from "./instances.ts";
import { figure, ms, plain, quantile } from "./report.ts";
import { now } from "./writer.ts";

const LINES = 2000;
const RATE = 200;

const stampOf = (line: string): number | null => {
  const match = /stamp ([\d.]+)/.exec(line);
  return match === null ? null : Number(match[1]);
};

/** What a bare watcher of a file in this very process sees, without daemon and socket. */
const bareWatch = async (dir: string): Promise<number[]> => {
  const path = join(dir, "bare.log");
  writeFileSync(path, "");
  const fd = openSync(path, "r");
  const buffer = Buffer.alloc(64 * 1024);
  let position = 0;
  const delays: number[] = [];
  const watcher = watch(path, () => {
    const read = readSync(fd, buffer, 0, buffer.length, position);
    position += read;
    const at = now();
    for (const line of buffer.toString("latin1", 0, read).split("\n")) {
      const stamp = stampOf(line);
      if (stamp !== null) delays.push(at - stamp);
    }
  });
  const writer = Bun.spawn([writerProgram(dir), "--port", "0"], {
    env: { ...process.env, WRITER: `stamps-now:${LINES}:${RATE}` },
    stdout: openSync(path, "a"),
    stderr: "inherit",
  });
  await until("the writer's lines", () => delays.length >= LINES * 0.9, 30_000);
  writer.kill();
  watcher.close();
  return delays;
};

const overSocket = async (): Promise<number[]> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-bench-"));
  await using daemon = await TestDaemon.start({
    llamaServer: writerProgram(dir),
    env: { WRITER: `stamps:${LINES}:${RATE}` },
  });
  const { id, server } = await startInstance(daemon, { model: tinyModel, alias: "writer" });
  const delays: number[] = [];
  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/instances/${id}/logs`, {
    headers: { "X-API-Key": KEY },
  } as never);
  socket.onmessage = (event) => {
    const stamp = stampOf(String(event.data));
    if (stamp !== null) delays.push(now() - stamp);
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  await fetch(`${server}/stamps`);
  await until("every line", () => delays.length >= LINES, 30_000);
  socket.close();
  rmSync(dir, { recursive: true, force: true });
  return delays;
};

export const benchLatency = async (): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-bench-"));
  const bare = await bareWatch(dir);
  const ours = await overSocket();
  rmSync(dir, { recursive: true, force: true });
  plain("bare watcher of the same file, no daemon, no socket: p50", ms(quantile(bare, 0.5)));
  plain("the same, p99", ms(quantile(bare, 0.99)));
  const p50 = quantile(ours, 0.5);
  const p99 = quantile(ours, 0.99);
  figure(
    `write to WebSocket client at ${RATE} lines/s, p50 (x${(p50 / quantile(bare, 0.5)).toFixed(1)} bare)`,
    ms(p50),
    "< 2 ms",
    p50 < 2,
  );
  figure(`the same, p99 (x${(p99 / quantile(bare, 0.99)).toFixed(1)} bare)`, ms(p99), "< 5 ms", p99 < 5);
};
