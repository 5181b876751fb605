import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createApp } from "../src/server/app.ts";
import { describeApi } from "../src/server/docs.ts";
import type { Supervisor } from "../src/supervisor/supervisor.ts";

/** The description of the API as a file. Run by scripts/openapi. */

export const file = "src/server/openapi.json";

/** As the file has it. No route runs for it, so nothing stands behind them. */
export const openapiText = (): string => {
  const app = createApp({
    apiKey: "",
    supervisor: {} as Supervisor,
    readMemory: () => Promise.reject(new Error("nothing is asked")),
    startWaitMs: 0,
    report: () => undefined,
  });
  return `${JSON.stringify(describeApi(app), null, 2)}\n`;
};

if (import.meta.main) {
  writeFileSync(join(import.meta.dir, "..", file), openapiText());
  console.error(`==> ${file}`);
}
