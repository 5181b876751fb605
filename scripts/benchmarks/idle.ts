import { readFileSync } from "node:fs";
import { TestDaemon } from "../../test/support/daemon.ts";
import { realServer, tinyModel } from "../../test/support/paths.ts";
import { startInstance } from "./instances.ts";
import { figure } from "./report.ts";

const INSTANCES = 10;
const WATCH_MS = 20_000;
const TICKS_A_SECOND = 100;

const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
};

/** Linux only: it reads /proc. */
export const benchIdle = async (): Promise<void> => {
  await using daemon = await TestDaemon.start({ llamaServer: realServer() });
  for (let i = 0; i < INSTANCES; i++) await startInstance(daemon, { model: tinyModel, alias: `m${i}` });
  // The boot is over then.
  await Bun.sleep(10_000);
  const { pid } = daemon.process;
  const before = cpuSeconds(pid);
  await Bun.sleep(WATCH_MS);
  const share = ((cpuSeconds(pid) - before) / (WATCH_MS / 1000)) * 100;
  figure(`idle with ${INSTANCES} instances: processor`, `${share.toFixed(2)} % of a core`, "< 1 %", share < 1);
  const resident = residentMiB(pid);
  figure("the same: resident memory", `${resident.toFixed(1)} MiB`, "< 100 MB", resident * 1.048576 < 100);
};
