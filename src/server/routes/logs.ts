import { z } from "@hono/zod-openapi";
import { logStart, prunedLogs } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { exampleLogStarts, examplePrunedLogs } from "../examples.ts";
import { errorAnswer, invalid, jsonAnswer, notFound, shuttingDown, unreadable } from "./answers.ts";
import { idParam, yesNo } from "./query.ts";
import { type App, scopedRoute } from "./route.ts";

/** Log files: of all instances together, and the parts of one log. */

const pruneRoute = scopedRoute("admin", {
  operationId: "pruneLogs",
  method: "post",
  path: "/logs/prune",
  tags: ["System"],
  summary: "Remove the logs of deleted instances",
  request: { query: z.object({ dry_run: yesNo("Only tell what would be removed") }) },
  responses: {
    200: jsonAnswer(prunedLogs, "What was removed, or would be", examplePrunedLogs),
    422: invalid,
    500: errorAnswer(
      "A file cannot be removed, or the files of an instance are not known",
      "Cannot prune the logs: this user has no permission for '/srv/solar-host/logs/llama-3_8b_1769860800.log': change its owner or mode, or those of its folder",
    ),
    503: shuttingDown,
  },
});

const startsRoute = scopedRoute("read", {
  operationId: "listLogStarts",
  method: "get",
  path: "/instances/{id}/logs/starts",
  tags: ["Observation"],
  summary: "The parts of a log that each start wrote",
  request: { params: idParam },
  responses: {
    200: jsonAnswer(z.array(logStart), "Oldest first; those whose file is still there", exampleLogStarts),
    404: notFound,
    503: unreadable,
  },
});

export const addLogRoutes = (app: App, supervisor: Supervisor): void => {
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
