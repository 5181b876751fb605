import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KEY, TestDaemon } from "../../test/support/daemon.ts";
import { binary, realServer, tinyModel } from "../../test/support/paths.ts";
import { startInstance } from "./instances.ts";
import { figure, median, ms, plain } from "./report.ts";

const ROUNDS = 10;
const INSTANCES = 10;

/** From exec to the first answer of /health, and beside it what `--version` takes: the runtime's own start. */
const execToHealth = async (dir: string): Promise<{ health: number; version: number }> => {
  const port = 18_500 + Math.floor(Math.random() * 400);
  const versionBegan = performance.now();
  await Bun.spawn([binary, "--version"], { stdout: "ignore" }).exited;
  const version = performance.now() - versionBegan;
  const began = performance.now();
  const child = Bun.spawn([binary, "serve"], {
    cwd: dir,
    env: { PATH: process.env.PATH ?? "", HOME: dir, API_KEY: KEY, HOST: "127.0.0.1", PORT: String(port) },
    stderr: "ignore",
  });
  for (;;) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/health`)).ok) break;
    } catch {
      await Bun.sleep(1);
    }
  }
  const health = performance.now() - began;
  child.kill("SIGTERM");
  await child.exited;
  return { health, version };
};

/** How long after the server's own health check says 200 the daemon says running. */
const readyDelay = async (daemon: TestDaemon, id: string): Promise<number> => {
  await daemon.stop(id);
  const started = daemon.start(id, 60);
  let port: number | null = null;
  while (port === null) port = (await daemon.get(id)).port;
  let healthy = 0;
  const ask = async (): Promise<void> => {
    for (;;) {
      try {
        if ((await fetch(`http://127.0.0.1:${port}/health`)).status === 200) break;
      } catch {
        // Not yet.
      }
      await Bun.sleep(1);
    }
    healthy = performance.now();
  };
  const asking = ask();
  await started;
  const running = performance.now();
  await asking;
  return running - healthy;
};

const bootWithMany = async (): Promise<{ slowest: number; boot: number }> => {
  await using first = await TestDaemon.start({ llamaServer: realServer() });
  const ids: string[] = [];
  for (let i = 0; i < INSTANCES; i++) ids.push((await startInstance(first, { model: tinyModel, alias: `m${i}` })).id);
  await first.end();
  const began = performance.now();
  await using second = await first.again();
  const lines = () => second.stderr.match(/running/g)?.length ?? 0;
  while (lines() < INSTANCES) await Bun.sleep(2);
  const boot = performance.now() - began;
  const began2 = performance.now();
  await Promise.all(ids.map((id) => second.stop(id)));
  plain(`stopping ${INSTANCES} side by side`, ms(performance.now() - began2));
  // The slowest of as many that load side by side without a daemon.
  const slowest = await slowestAlone();
  await second.end();
  return { slowest, boot };
};

const slowestAlone = async (): Promise<number> => {
  const began = performance.now();
  const children = Array.from({ length: INSTANCES }, (_, i) => {
    const port = 19_000 + i;
    const argv = [
      "--model",
      tinyModel,
      "--ctx-size",
      "2048",
      "--threads",
      "1",
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
      "--no-warmup",
    ];
    return { port, child: Bun.spawn([realServer(), ...argv], { stdout: "ignore", stderr: "ignore" }) };
  });
  await Promise.all(
    children.map(async ({ port }) => {
      for (;;) {
        try {
          if ((await fetch(`http://127.0.0.1:${port}/health`)).status === 200) return;
        } catch {
          // Not yet.
        }
        await Bun.sleep(5);
      }
    }),
  );
  const slowest = performance.now() - began;
  for (const { child } of children) child.kill();
  return slowest;
};

export const benchStart = async (): Promise<void> => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer() });
  const dir = mkdtempSync(join(tmpdir(), "solar-bench-"));
  const rounds: { health: number; version: number }[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await execToHealth(dir));
  rmSync(dir, { recursive: true, force: true });
  const health = median(rounds.map((round) => round.health));
  const version = median(rounds.map((round) => round.version));
  figure(
    `exec to /health (x${(health / version).toFixed(1)} of \`solar-host --version\`, ${ms(version)})`,
    ms(health),
    "60 ms",
    health <= 60,
  );

  const { id } = await startInstance(daemon, { model: tinyModel, alias: "tiny" });
  const delays: number[] = [];
  for (let i = 0; i < ROUNDS; i++) delays.push(await readyDelay(daemon, id));
  figure(
    "running after llama-server's own /health is 200, slowest",
    ms(Math.max(...delays)),
    "<= 30 ms",
    Math.max(...delays) <= 30,
  );
  const { slowest, boot } = await bootWithMany();
  figure(
    `boot with ${INSTANCES}: ${ms(boot)} against ${ms(slowest)} without a daemon`,
    `+${ms(boot - slowest)}`,
    "<= +200 ms",
    boot - slowest <= 200,
  );
};
