import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KEY, TestDaemon } from "../../test/support/daemon.ts";
import { tinyModel } from "../../test/support/paths.ts";
import { until } from "../../test/support/until.ts";
import { startInstance, writerProgram } from "./instances.ts";
import { figure, median, ms } from "./report.ts";

const LINES = 200_000;
const ROUNDS = 5;

/** Milliseconds to write them to a file without a reader. */
const unread = (dir: string, writer: string, round: number): number => {
  const done = Bun.spawnSync([writer], {
    env: { ...process.env, WRITER: `file:${LINES}:${join(dir, `unread-${round}.log`)}` },
    stderr: "pipe",
  });
  return Number(done.stderr.toString());
};

export const benchBurst = async (): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-bench-"));
  const writer = writerProgram(dir);
  await using daemon = await TestDaemon.start({ llamaServer: writer, env: { WRITER: `burst:${LINES}` } });
  const { id, server } = await startInstance(daemon, { model: tinyModel, alias: "writer" });
  const alone: number[] = [];
  const followed: number[] = [];
  const watched: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(unread(dir, writer, round));
    followed.push(Number(await (await fetch(`${server}/burst`)).text()));
    await Bun.sleep(500);
  }
  const ratio = median(followed) / median(alone);
  figure(
    `child writes ${LINES} lines: ${ms(median(followed))} against ${ms(median(alone))} unread`,
    `ratio ${ratio.toFixed(2)}`,
    "<= 1.2",
    ratio <= 1.2,
  );

  const before = (await daemon.logs(id, "?tail=1"))[0]?.seq ?? -1;
  const seqs: number[] = [];
  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/instances/${id}/logs?after=${before}`, {
    headers: { "X-API-Key": KEY },
  } as never);
  socket.onmessage = (event) => seqs.push(Number(/"seq":(\d+)/.exec(String(event.data))?.[1]));
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const began = performance.now();
  watched.push(Number(await (await fetch(`${server}/burst`)).text()));
  await until("the follower to have every line", () => seqs.length >= LINES, 60_000);
  const took = performance.now() - began;
  const inOrder = seqs.every((seq, i) => seq === before + 1 + i);
  figure(
    `a follower gets each line, in order, in ${ms(took)}`,
    `${seqs.length} lines`,
    `${LINES}`,
    inOrder && seqs.length === LINES,
  );
  socket.close();

  let read = 0;
  for (let after = before; ; ) {
    const page = await daemon.logs(id, `?after=${after}&limit=10000`);
    if (page.length === 0) break;
    read += page.length;
    after = page.at(-1)?.seq ?? after;
  }
  figure("every line can be read afterwards over REST", `${read} lines`, `${LINES}`, read === LINES);
  rmSync(dir, { recursive: true, force: true });
};
