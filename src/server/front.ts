import { getPath } from "hono/utils/url";
import { isOpenPath, type KeyCheck, offeredKey, UNAUTHORIZED } from "./auth.ts";

/**
 * What every request passes first: CORS and the key, before any routing. Outside Hono, whose
 * middlewares would cost as much again as the routes themselves.
 */

const METHODS = "GET,HEAD,POST,PUT,DELETE,OPTIONS";
const PREFLIGHT_SECONDS = "86400";

type Answer = Response | Promise<Response>;

/** Any origin may ask, but with a key that it knows and not with a browser's cookies. */
const readable = (answer: Response): Response => {
  answer.headers.set("Access-Control-Allow-Origin", "*");
  return answer;
};

const preflight = (request: Request): Response =>
  new Response(null, {
    status: 204,
    headers: {
      "Access-Control-Allow-Methods": METHODS,
      // `*` would not cover Authorization.
      "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers") ?? "*",
      "Access-Control-Max-Age": PREFLIGHT_SECONDS,
      Vary: "Access-Control-Request-Headers",
    },
  });

const admit = (request: Request, mayEnter: KeyCheck): Response | null => {
  if (request.method === "OPTIONS") return preflight(request);
  if (isOpenPath(getPath(request)) || mayEnter(offeredKey(request.headers))) return null;
  return Response.json({ detail: UNAUTHORIZED }, { status: 401 });
};

/** HEAD is answered as GET is, body and all: the runtime leaves out the body, and only then tells its length. */
const asGet = (request: Request): Request =>
  request.method === "HEAD" ? new Request(request, { method: "GET" }) : request;

/** @param route answers what was let in */
export const createFront =
  (mayEnter: KeyCheck, route: (request: Request) => Answer) =>
  (request: Request): Answer => {
    const refused = admit(request, mayEnter);
    if (refused !== null) return readable(refused);
    const answer = route(asGet(request));
    return answer instanceof Promise ? answer.then(readable) : readable(answer);
  };
