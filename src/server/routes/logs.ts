import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { logStart, prunedLogs } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { exampleLogStarts, examplePrunedLogs } from "../examples.ts";
import { errorAnswer, guarded, invalid, jsonAnswer, notFound, security, shuttingDown, unreadable } from "./answers.ts";
import { idParam, yesNo } from "./query.ts";

/** Log files: of all instances together, and the parts of one log. */

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

const startsRoute = createRoute({
  operationId: "listLogStarts",
  method: "get",
  path: "/instances/{id}/logs/starts",
  tags: ["Observation"],
  security,
  summary: "The parts of a log that each start wrote",
  request: { params: idParam },
  responses: {
    200: jsonAnswer(z.array(logStart), "Oldest first; those whose file is still there", exampleLogStarts),
    ...guarded,
    404: notFound,
    503: unreadable,
  },
});

export const addLogRoutes = (app: OpenAPIHono, supervisor: Supervisor): void => {
  app.openapi(pruneRoute, (c) => {
    supervisor.refuseAtEnd();
    return c.json(supervisor.pruneLogs(c.req.valid("query").dry_run === true), 200);
  });

  app.openapi(startsRoute, async (c) => {
    const instance = supervisor.get(c.req.valid("param").id);
    await instance.openLog();
    return c.json(instance.log.starts, 200);
  });
};
