import { getPath } from "hono/utils/url";
import type { Scope } from "../contract/keys.ts";
import type { CrossOriginRules } from "./cross-origin.ts";
import { offeredKey, offeredSocketKey, UNAUTHORIZED } from "./offered-key.ts";
import { anyone, type KeyLookup, may, type Principal } from "./principal.ts";
import { pathOf } from "./request-url.ts";
import type { WrongKeys } from "./wrong-keys.ts";

/**
 * What every request passes before it is routed, plain or for a WebSocket: {@link createDoor} has the checks in their
 * order. What a page of another origin may ask and read is in cross-origin.ts, whose a key is in principal.ts. The scope
 * that a route wants stands beside the route (routes/route.ts).
 */

export const OPEN_PATHS: readonly string[] = ["/", "/health", "/docs", "/openapi.json"];
export const OPEN_PREFIX = "/docs/assets/";

const isOpenPath = (path: string): boolean => OPEN_PATHS.includes(path) || path.startsWith(OPEN_PREFIX);

/** Why a principal is refused. @param asked what it asked for: method and path */
export const lacks = (scope: Scope, asked: string): string =>
  `This key may not ${asked}: it lacks the scope '${scope}'`;

const SHOWN = 60;

/** Who asks, in the daemon's log: the principal and its program, without what could change the line that it stands in. */
export const nameOf = ({ name }: Principal, userAgent = ""): string => {
  const program = userAgent
    .replace(/[^\x20-\x7e]/g, "")
    .trim()
    .slice(0, SHOWN);
  return program === "" ? name : `${name} (${program})`;
};

const refusal = (status: 401 | 403, detail: string): Response => Response.json({ detail }, { status });

export const TOO_MANY = "Too many wrong keys from this address. Try again later.";

/** @param wrong what is counted of wrong keys */
export const createDoor = (pages: CrossOriginRules, whose: KeyLookup, wrong: WrongKeys) => {
  const refuseKey = (address: string, offered: string | null): Response => {
    const closedFor = offered === null ? 0 : wrong.add(address);
    if (closedFor === 0) return refusal(401, UNAUTHORIZED);
    return Response.json({ detail: TOO_MANY }, { status: 429, headers: { "Retry-After": String(closedFor) } });
  };

  /** Who asks; an answer where the request goes no further. */
  const admit = (request: Request, path: string, key: string | null, address: string): Principal | Response => {
    // Without CORS headers: the page that asked may not read it.
    const foreign = pages.refuse(request);
    if (foreign !== null) return foreign;
    // A browser asks it of its own accord, and sends no key.
    if (request.method === "OPTIONS") return pages.readable(request, pages.preflight(request));
    if (isOpenPath(path)) return anyone;
    return whose(key) ?? pages.readable(request, refuseKey(address, key));
  };
  return {
    /** @param route answers what is let in */
    answer: async (
      request: Request,
      address: string,
      route: (asker: Principal) => Response | Promise<Response>,
    ): Promise<Response> => {
      const asker = admit(request, getPath(request), offeredKey(request.headers), address);
      return asker instanceof Response ? asker : pages.readable(request, await route(asker));
    },
    /** @param open opens the WebSocket; undefined where it is open, else says why it is not */
    socket: async (
      request: Request,
      address: string,
      open: (asker: Principal) => Promise<Response | undefined>,
    ): Promise<Response | undefined> => {
      const path = pathOf(request.url);
      const asker = admit(request, path, offeredSocketKey(request.headers), address);
      if (asker instanceof Response) return asker;
      if (!may(asker, "read")) return pages.readable(request, refusal(403, lacks("read", `GET ${path}`)));
      return await open(asker);
    },
  };
};
