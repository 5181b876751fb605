import { chmodSync, mkdtempSync, openSync, readSync, rmSync, watch, writeFileSync, writeSync } from "node:fs";
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
/** Short bursts, as a model server ends a request: a few lines at once, then silence. */
const BURSTS = { count: 200, lines: 3, gapMs: 0.3, pauseMs: 100 };

const stampOf = (line: string): number | null => {
  const match = /stamp ([\d.]+)/.exec(line);
  return match === null ? null : Number(match[1]);
};

/** Only the last line of each burst is stamped. */
const writeShortBursts = async (): Promise<void> => {
  for (let burst = 0; burst < BURSTS.count; burst++) {
    for (let line = 1; line <= BURSTS.lines; line++) {
      writeSync(1, line === BURSTS.lines ? `stamp ${now()}\n` : `line ${line} of a short burst\n`);
      for (const began = performance.now(); performance.now() - began < BURSTS.gapMs; );
    }
    await Bun.sleep(BURSTS.pauseMs);
  }
};

/** This very file as a program: a model server that writes short bursts when GET /bursts asks, or at once. */
const burstProgram = (dir: string): string => {
  const path = join(dir, "short-bursts");
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${import.meta.path}' "$@"\n`);
  chmodSync(path, 0o755);
  return path;
};

/** What a bare watcher of a file in this very process sees, without daemon and socket. */
const bareWatch = async (dir: string, command: string[], mode: string, enough: number): Promise<number[]> => {
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
  const writer = Bun.spawn(command, {
    env: { ...process.env, WRITER: mode },
    stdout: openSync(path, "a"),
    stderr: "inherit",
  });
  await until("the writer's lines", () => delays.length >= enough, 60_000);
  writer.kill();
  watcher.close();
  return delays;
};

const overSocket = async (program: string, asked: string, count: number): Promise<number[]> => {
  await using daemon = await TestDaemon.start({
    llamaServer: program,
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
  await fetch(`${server}${asked}`);
  await until("every line", () => delays.length >= count, 60_000);
  socket.close();
  return delays;
};

const benchSteady = async (dir: string): Promise<void> => {
  const writer = writerProgram(dir);
  const bare = await bareWatch(dir, [writer, "--port", "0"], `stamps-now:${LINES}:${RATE}`, LINES * 0.9);
  const ours = await overSocket(writer, "/stamps", LINES);
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

const benchShortBursts = async (dir: string): Promise<void> => {
  const writer = burstProgram(dir);
  // The last one of all may never come to a bare watcher, the others at the latest with the next burst.
  const bare = await bareWatch(dir, [writer], "", BURSTS.count - 1);
  const ours = await overSocket(writer, "/bursts", BURSTS.count);
  plain(`bare watcher, last of ${BURSTS.lines} lines ${BURSTS.gapMs} ms apart: p50`, ms(quantile(bare, 0.5)));
  plain("the same, p99", ms(quantile(bare, 0.99)));
  const p50 = quantile(ours, 0.5);
  const p99 = quantile(ours, 0.99);
  figure("that last line to WebSocket client, p50", ms(p50), "< 5 ms", p50 < 5);
  figure("the same, p99", ms(p99), "< 10 ms", p99 < 10);
};

export const benchLatency = async (): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-bench-"));
  await benchSteady(dir);
  await benchShortBursts(dir);
  rmSync(dir, { recursive: true, force: true });
};

if (import.meta.main) {
  const port = process.argv.indexOf("--port");
  if (port === -1) await writeShortBursts();
  else
    Bun.serve({
      hostname: "127.0.0.1",
      port: Number(process.argv[port + 1]),
      fetch(request) {
        if (new URL(request.url).pathname === "/bursts") void writeShortBursts();
        return Response.json({ status: "ok" });
      },
    });
}
