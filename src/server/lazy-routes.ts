import { getPath } from "hono/utils/url";
import type { AppOptions } from "./app.ts";
import { healthy } from "./healthy.ts";

/**
 * The routes, loaded after the daemon listens: their schemas take longer to build than all that
 * comes before. Until then it says that it is well, and other requests wait for the routes.
 */

/** Long enough for whoever waits for the daemon to see that it is there. */
const LOAD_AFTER_MS = 50;

export interface LazyRoutes {
  answer(request: Request): Response | Promise<Response>;
  /** Loads them in a moment, so that the first request does not pay for it. */
  loadSoon(): void;
}

export const lazyRoutes = (options: AppOptions): LazyRoutes => {
  let app: { fetch(request: Request): Response | Promise<Response> } | null = null;
  let loading: Promise<void> | null = null;
  const load = (): Promise<void> => {
    loading ??= import("./app.ts").then(({ createApp }) => {
      app = createApp(options);
    });
    return loading;
  };
  const answer = (request: Request): Response | Promise<Response> => {
    if (app !== null) return app.fetch(request);
    if (request.method === "GET" && getPath(request) === "/health") return Response.json(healthy);
    return load().then(() => answer(request));
  };
  return { answer, loadSoon: () => void setTimeout(() => void load(), LOAD_AFTER_MS) };
};
