import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** What the client has to keep up with. How fast it does so, scripts/bench tells. */

setDefaultTimeout(60_000);

const LINES = 150_000;
const RATE = 50_000;
const CLIENT_BYTES = 250 * 1024 * 1024;

let daemon: TestDaemon;
let ctl: Ctl;
let instance: Instance;

beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "2" } });
  ctl = Ctl.of(daemon);
  instance = await daemon.createFake({}, { alias: "fast" });
  instance = (await daemon.start(instance.id)).body.instance;
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const peakMemory = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;

test("logs -f gives each of 50,000 lines a second, and keeps no backlog in memory", async () => {
  const child = ctl.spawn(["logs", "-f", "--tail", "1", "fast"]);
  let rest = "";
  let count = 0;
  let wrong = 0;
  let opened = false;
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      opened = true;
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith("line ")) continue;
        count += 1;
        if (!line.startsWith(`line ${String(count).padStart(6, "0")} `)) wrong += 1;
      }
    }
  })();
  await until("the follower to be there", () => opened);
  await fetch(`http://127.0.0.1:${instance.port}/write?lines=${LINES}&rate=${RATE}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${instance.config.api_key}` },
  });
  await until("the last line", () => count === LINES);
  expect(wrong).toBe(0);
  if (process.platform === "linux") expect(peakMemory(child.pid)).toBeLessThan(CLIENT_BYTES);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  await reading;
});
