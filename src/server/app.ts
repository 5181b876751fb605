import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Memory } from "../contract/index.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { addDocs } from "./docs.ts";
import { answerError, answerInvalid } from "./errors.ts";
import type { KeyRing } from "./key-ring.ts";
import { addInstanceRoutes } from "./routes/instances.ts";
import { addKeyRoutes } from "./routes/keys.ts";
import { addLogRoutes } from "./routes/logs.ts";
import { addObservationRoutes } from "./routes/observation.ts";
import { addOperationRoutes } from "./routes/operations.ts";
import type { App, AppEnv } from "./routes/route.ts";
import { addSystemRoutes } from "./routes/system.ts";

/** The routes: they translate requests to calls of the supervisor and hold no state. who-asks.ts has let the request in. */

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

export interface AppOptions {
  supervisor: Supervisor;
  keys: Pick<KeyRing, "list" | "create" | "revoke">;
  readMemory: () => Promise<Memory>;
  /** How long start and restart wait for the model unless asked otherwise. */
  startWaitMs: number;
  /** Told of an error that no route expects. */
  report: (error: Error) => void;
}

/** 405 where the path is known with another method, 404 otherwise. */
const answerUnknown = (app: App, c: Context): Response => {
  const allowed = METHODS.filter((method) => app.router.match(method, c.req.path)[0].length > 0);
  if (allowed.length === 0 || allowed.includes(c.req.method)) return c.json({ detail: "Not Found" }, 404);
  const withHead = allowed.includes("GET") ? [...allowed, "HEAD"] : allowed;
  return c.json({ detail: "Method Not Allowed" }, 405, { Allow: withHead.join(", ") });
};

export const createApp = ({ supervisor, keys, readMemory, startWaitMs, report }: AppOptions): App => {
  const app = new OpenAPIHono<AppEnv>({ defaultHook: answerInvalid });
  app.notFound((c) => answerUnknown(app, c));
  app.onError((error, c) => answerError(c, error, report));
  addSystemRoutes(app, readMemory);
  addInstanceRoutes(app, supervisor, startWaitMs);
  addOperationRoutes(app, supervisor, startWaitMs);
  addObservationRoutes(app, supervisor);
  addLogRoutes(app, supervisor);
  addKeyRoutes(app, keys);
  addDocs(app);
  return app;
};
