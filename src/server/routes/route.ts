import { createRoute, type OpenAPIHono, type RouteConfig } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Scope } from "../../contract/keys.ts";
import { UNAUTHORIZED } from "../offered-key.ts";
import { may, type Principal } from "../principal.ts";
import { lacks, nameOf, TOO_MANY } from "../who-asks.ts";
import { errorAnswer } from "./answers.ts";

/** What is asked with a key: each route names the scope that it wants, and refuses a principal without it. */

export interface AppEnv {
  Bindings: { principal: Principal };
}

export type App = OpenAPIHono<AppEnv>;

/** Who asks, for the daemon's log. */
export const askerOf = (c: Context<AppEnv>): string => nameOf(c.env.principal, c.req.header("user-agent"));

const refusals = (scope: Scope) => ({
  401: errorAnswer("The key is missing or wrong", UNAUTHORIZED),
  403: errorAnswer(
    `The key lacks the scope \`${scope}\`; or the daemon has no key, and the Origin or Host of the request is not this machine's own`,
    lacks(scope, "GET /instances"),
  ),
  429: errorAnswer("Too many wrong keys came from this address; see Retry-After", TOO_MANY),
});

const wants =
  (scope: Scope): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    if (!may(c.env.principal, scope)) return c.json({ detail: lacks(scope, `${c.req.method} ${c.req.path}`) }, 403);
    await next();
  };

const MAX_BODY_BYTES = 1024 * 1024;
/** Of a route that takes a body. */
export const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => c.json({ detail: "Request body is larger than 1 MiB" }, 413),
});

const listed = <T>(given: T | T[] | undefined): T[] => (given === undefined ? [] : ([given].flat() as T[]));

/** Describes a route behind the key. OpenAPI tells the scope as a role of both ways to send the key. */
export const scopedRoute = <P extends string, R extends Omit<RouteConfig, "path"> & { path: P }>(
  scope: Scope,
  config: R,
) =>
  createRoute({
    ...config,
    security: [{ ApiKey: [scope] }, { Bearer: [scope] }],
    middleware: [wants(scope), ...listed(config.middleware)],
    responses: { ...config.responses, ...refusals(scope) },
  });

/** Describes a route whose request is read by hand: it is `hide`, so that nothing is validated by this description. */
export const describeRoute = (
  app: App,
  { middleware: _, hide: __, getRoutingPath: ___, ...route }: ReturnType<typeof createRoute>,
  request: RouteConfig["request"],
): void => app.openAPIRegistry.registerPath({ ...route, ...(request === undefined ? {} : { request }) });
