import { benchBurst } from "./burst.ts";
import { benchCtl } from "./ctl.ts";
import { benchHttp } from "./http.ts";
import { benchIdle } from "./idle.ts";
import { benchLatency } from "./latency.ts";
import { benchPython } from "./python.ts";
import { benchStart } from "./start.ts";

/** Runs the benchmarks that are named; see scripts/bench --help. */

const benchmarks: Record<string, () => Promise<void>> = {
  http: benchHttp,
  latency: benchLatency,
  burst: benchBurst,
  start: benchStart,
  idle: benchIdle,
  ctl: benchCtl,
  python: benchPython,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(benchmarks, name));
if (unknown !== undefined) {
  console.error(`error: no benchmark '${unknown}': there are ${Object.keys(benchmarks).join(", ")}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : Object.keys(benchmarks).filter((other) => other !== "python")) {
  console.log(`\n${name}`);
  await benchmarks[name]?.();
}
process.exit(0);
