import { OpenAPIHono } from "@hono/zod-openapi";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import type { Memory } from "../contract/index.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { createKeyCheck, isOpenPath, offeredKey, UNAUTHORIZED } from "./auth.ts";
import { addDocs } from "./docs.ts";
import { answerError, answerInvalid } from "./errors.ts";
import { addInstanceRoutes } from "./routes/instances.ts";
import { addObservationRoutes } from "./routes/observation.ts";
import { addSystemRoutes } from "./routes/system.ts";

/** The HTTP side: translates requests to calls of the supervisor and holds no state. */

const MAX_BODY_BYTES = 1024 * 1024;

export interface AppOptions {
  /** Empty: no authentication. */
  apiKey: string;
  supervisor: Supervisor;
  readMemory: () => Promise<Memory>;
  /** How long start and restart wait for the model unless asked otherwise. */
  startWaitMs: number;
  /** Told of an error that nobody foresaw. */
  report: (error: Error) => void;
}

export const createApp = ({ apiKey, supervisor, readMemory, startWaitMs, report }: AppOptions): OpenAPIHono => {
  const app = new OpenAPIHono({ defaultHook: answerInvalid });
  const mayEnter = createKeyCheck(apiKey);

  // Any origin may ask, but with a key that it knows and not with a browser's cookies.
  app.use(cors({ origin: "*", allowMethods: ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"], maxAge: 86_400 }));
  app.use(async (c, next) => {
    if (c.req.method !== "OPTIONS" && !isOpenPath(c.req.path) && !mayEnter(offeredKey(c.req.raw.headers))) {
      return c.json({ detail: UNAUTHORIZED }, 401);
    }
    await next();
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => c.json({ detail: "Method Not Allowed" }, 405, { Allow: methods.join(", ") }),
    }),
  );
  const limit = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (c) => c.json({ detail: "Request body is larger than 1 MiB" }, 413),
  });
  // Not as a route of its own: every path would seem to know these methods then.
  app.use((c, next) => (c.req.method === "GET" ? next() : limit(c, next)));
  app.notFound((c) => c.json({ detail: "Not Found" }, 404));
  app.onError((error, c) => answerError(c, error, report));

  addSystemRoutes(app, readMemory);
  addInstanceRoutes(app, supervisor, startWaitMs);
  addObservationRoutes(app, supervisor);
  addDocs(app);
  return app;
};
