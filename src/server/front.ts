import { getPath } from "hono/utils/url";
import { isOpenPath, type KeyCheck, offeredKey, UNAUTHORIZED } from "./auth.ts";
import type { CrossOriginRules } from "./cross-origin.ts";

/**
 * What every request passes first: who asks and the key, before any routing. Outside Hono, whose
 * middlewares would cost as much again as the routes themselves.
 */

type Answer = Response | Promise<Response>;

/** HEAD is answered as GET is, body and all: the runtime leaves out the body, and only then tells its length. */
const asGet = (request: Request): Request =>
  request.method === "HEAD" ? new Request(request, { method: "GET" }) : request;

export const createFront = (pages: CrossOriginRules, mayEnter: KeyCheck) => {
  const admit = (request: Request): Response | null => {
    if (request.method === "OPTIONS") return pages.preflight(request);
    if (isOpenPath(getPath(request)) || mayEnter(offeredKey(request.headers))) return null;
    return Response.json({ detail: UNAUTHORIZED }, { status: 401 });
  };
  /** @param route answers what was let in */
  return (request: Request, route: (admitted: Request) => Answer): Answer => {
    const foreign = pages.refuse(request);
    if (foreign !== null) return foreign;
    const refused = admit(request);
    if (refused !== null) return pages.readable(request, refused);
    const answer = route(asGet(request));
    return answer instanceof Promise
      ? answer.then((late) => pages.readable(request, late))
      : pages.readable(request, answer);
  };
};
