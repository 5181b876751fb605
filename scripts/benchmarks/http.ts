import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KEY, TestDaemon } from "../../test/support/daemon.ts";
import { tinyModel } from "../../test/support/paths.ts";
import { compile } from "./compile.ts";
import { requestsPerSecond } from "./load.ts";
import { figure, median } from "./report.ts";

const ROUNDS = 5;
const ROUND_MS = 1500;

const startBare = async (dir: string, name: string, body: string): Promise<{ port: number; end(): void }> => {
  const file = join(dir, `${name}.json`);
  writeFileSync(file, body);
  const binary = await compile("bare-http.ts", join(dir, `bare-${name}`));
  const child = Bun.spawn([binary, file], { stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  return { port, end: () => child.kill() };
};

/** Rounds in turn, so that a slow moment of the machine hits both. */
const compare = async (ours: () => Promise<number>, bare: () => Promise<number>) => {
  const pairs: { ours: number; bare: number }[] = [];
  await ours();
  await bare();
  for (let round = 0; round < ROUNDS; round++) pairs.push({ bare: await bare(), ours: await ours() });
  return { ours: median(pairs.map((pair) => pair.ours)), bare: median(pairs.map((pair) => pair.bare)) };
};

/** @param aim the least share of the bare server's requests */
const report = (what: string, aim: number, { ours, bare }: { ours: number; bare: number }): void =>
  figure(
    `${what}: ${Math.round(ours)}/s against ${Math.round(bare)}/s bare`,
    `ratio ${(ours / bare).toFixed(2)}`,
    `>= ${aim}`,
    ours / bare >= aim,
  );

export const benchHttp = async (): Promise<void> => {
  await using daemon = await TestDaemon.start();
  const key = `X-API-Key: ${KEY}\r\n`;
  const health = await startBare(daemon.dir, "health", await (await fetch(`${daemon.url}/health`)).text());
  report(
    "GET /health",
    0.5,
    await compare(
      () => requestsPerSecond(daemon.port, "/health", "", ROUND_MS),
      () => requestsPerSecond(health.port, "/health", "", ROUND_MS),
    ),
  );
  health.end();
  for (let i = 0; i < 50; i++) await daemon.create({ model: tinyModel, alias: `model-${i}`, api_key: "instance-key" });
  const list = await (await fetch(`${daemon.url}/instances`, { headers: { "X-API-Key": KEY } })).text();
  const bare = await startBare(daemon.dir, "list", list);
  report(
    `GET /instances, 50 of them (${Math.round(list.length / 1024)} KiB)`,
    0.25,
    await compare(
      () => requestsPerSecond(daemon.port, "/instances", key, ROUND_MS),
      () => requestsPerSecond(bare.port, "/instances", key, ROUND_MS),
    ),
  );
  bare.end();
};
