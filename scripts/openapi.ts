import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createApp } from "../src/server/app.ts";
import { describeApi } from "../src/server/docs.ts";
import { EventStream } from "../src/supervisor/events.ts";
import type { Supervisor } from "../src/supervisor/supervisor.ts";
import { readReadme, withTables } from "./readme-tables.ts";

/** Writes what the code says of itself into files. Run by scripts/openapi. */

export const file = "src/server/openapi.json";

const never = () => Promise.reject(new Error("nothing is asked"));

/** As the file has it. No route runs for it, so nothing stands behind them. */
export const openapiText = (): string => {
  const app = createApp({
    supervisor: { events: new EventStream() } as Supervisor,
    keys: { list: () => [], create: never, revoke: never },
    readMemory: never,
    startWaitMs: 0,
    report: () => undefined,
  });
  return `${JSON.stringify(describeApi(app), null, 2)}\n`;
};

if (import.meta.main) {
  const root = join(import.meta.dir, "..");
  writeFileSync(join(root, file), openapiText());
  writeFileSync(join(root, "README.md"), withTables(readReadme(), JSON.parse(openapiText())));
  console.error(`==> ${file}, and the tables of README.md`);
}
