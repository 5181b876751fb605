import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { prunedLogs } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { examplePrunedLogs } from "../examples.ts";
import { errorAnswer, guarded, invalid, jsonAnswer, security, shuttingDown } from "./answers.ts";
import { yesNo } from "./query.ts";

/** The log files of all instances together. */

const pruneRoute = createRoute({
  operationId: "pruneLogs",
  method: "post",
  path: "/logs/prune",
  tags: ["System"],
  security,
  summary: "Remove the logs of deleted instances",
  request: { query: z.object({ dry_run: yesNo("Only tell what would be removed") }) },
  responses: {
    200: jsonAnswer(prunedLogs, "What was removed, or would be", examplePrunedLogs),
    ...guarded,
    422: invalid,
    500: errorAnswer(
      "A file cannot be removed, or the files of an instance are not known",
      "Cannot prune the logs: EACCES: permission denied, unlink '/srv/solar-host/logs/llama-3_8b_1769860800.log'",
    ),
    503: shuttingDown,
  },
});

export const addLogRoutes = (app: OpenAPIHono, supervisor: Supervisor): void => {
  app.openapi(pruneRoute, (c) => {
    supervisor.refuseAtEnd();
    return c.json(supervisor.pruneLogs(c.req.valid("query").dry_run === true), 200);
  });
};
