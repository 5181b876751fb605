import { join } from "node:path";
import { ctlEnv } from "../../test/support/ctl.ts";
import { KEY, TestDaemon } from "../../test/support/daemon.ts";
import { binary, fakeServer, tinyModel } from "../../test/support/paths.ts";
import { until } from "../../test/support/until.ts";
import { compile } from "./compile.ts";
import { figure, median, ms } from "./report.ts";

const ROUNDS = 30;
const INSTANCES = 10;
const LINES = 250_000;
const RATE = 50_000;

/** From exec to exit, both in turn, so that a slow moment of the machine hits both. */
const benchLs = async (daemon: TestDaemon): Promise<void> => {
  for (let i = 0; i < INSTANCES; i++) await daemon.create({ model: tinyModel, alias: `model-${i}`, api_key: "k" });
  const bare = await compile("bare-client.ts", join(daemon.dir, "bare-client"));
  const env = ctlEnv(daemon.dir);
  const timed = async (command: string[]): Promise<number> => {
    const began = performance.now();
    const code = await Bun.spawn(command, { cwd: "/", env, stdout: "ignore", stderr: "inherit" }).exited;
    if (code !== 0) throw new Error(`${command[0]} ended with ${code}`);
    return performance.now() - began;
  };
  const pairs: { ours: number; bare: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    pairs.push({
      bare: await timed([bare, daemon.url, KEY]),
      ours: await timed([binary, "ctl", "ls"]),
    });
  }
  const ours = median(pairs.map((pair) => pair.ours));
  const least = median(pairs.map((pair) => pair.bare));
  figure(
    `ctl ls of ${INSTANCES}, exec to exit (x${(ours / least).toFixed(1)} of a bare compiled client, ${ms(least)})`,
    ms(ours),
    "<= 40 ms",
    ours <= 40,
  );
};

/** Milliseconds from the first write to the last line read, and those that the writer itself took. */
const follow = async (
  command: string[],
  daemon: TestDaemon,
  server: string,
): Promise<{ read: number; wrote: number }> => {
  const child = Bun.spawn(command, { cwd: "/", env: ctlEnv(daemon.dir), stdout: "pipe", stderr: "inherit" });
  let count = 0;
  const counting = (async () => {
    for await (const chunk of child.stdout) for (const byte of chunk) if (byte === 10) count += 1;
  })();
  await until("the follower to be there", () => count > 0);
  const before = count;
  const began = performance.now();
  const answer = await fetch(`${server}/write?lines=${LINES}&rate=${RATE}`, {
    method: "POST",
    headers: { Authorization: "Bearer instance-key" },
  });
  const { ms: wrote } = (await answer.json()) as { ms: number };
  await until("the last line", () => count >= before + LINES);
  const read = performance.now() - began;
  child.kill("SIGINT");
  await child.exited;
  await counting;
  return { read, wrote };
};

const benchLogs = async (daemon: TestDaemon): Promise<void> => {
  const { id } = await daemon.createFake({}, { alias: "fast" });
  const { instance } = (await daemon.start(id)).body;
  const server = `http://127.0.0.1:${instance.port}`;
  const tail = await follow(["tail", "-n", "1", "-f", String(instance.log_file)], daemon, server);
  const ours = await follow([binary, "ctl", "logs", "-f", "--tail", "1", "fast"], daemon, server);
  const lag = ours.read - ours.wrote;
  figure(
    `ctl logs -f at ${RATE} lines/s: behind the writer at its end (tail -f: ${ms(tail.read - tail.wrote)})`,
    ms(lag),
    "< 250 ms",
    lag < 250,
  );
};

export const benchCtl = async (): Promise<void> => {
  await using daemon = await TestDaemon.start({ llamaServer: fakeServer });
  await benchLs(daemon);
  await benchLogs(daemon);
};
