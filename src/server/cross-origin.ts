import { isIPv4 } from "node:net";

/**
 * Which web pages may call the daemon and read its answers: CORS, Origin and Host.
 *
 * With a key, a page of any origin may: the key is what it has to know, and a browser never sends that by itself.
 * Without a key, the browser of this machine is let in for any page that it shows. So pages of this machine alone
 * may call, told by Origin; and by Host, since a foreign name may be made to point here (DNS rebinding), where page
 * and daemon then have the same origin. The type of a body protects nothing more: a browser names the origin
 * of each request that has one.
 */

const METHODS = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS";
const PREFLIGHT_SECONDS = "86400";
const ALLOW_ORIGIN = "Access-Control-Allow-Origin";
const WHY =
  "without an API key the daemon answers this machine alone, by the name of localhost or 127.0.0.1. Set API_KEY to allow others.";

type Asked = Pick<Request, "method" | "headers">;

/** What a page may do. */
export interface CrossOriginRules {
  /** The answer to a request of a page that may not call; null where it may. */
  refuse(request: Asked): Response | null;
  preflight(request: Asked): Response;
  /** Lets the page that asked read the answer. `request` is null where it is not known any more. */
  readable(request: Asked | null, answer: Response): Response;
}

/** A name may begin like an address, as 127.example.com does, and belong to any owner. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (host.startsWith("127.") && isIPv4(host));

/** Name and port as they stand in a URL; nothing that would make a URL of another host of it. */
const HOST_AND_PORT = /^[^\s,/\\?#@]+$/;

/** The spellings of an address are one after the URL's rules, which browsers go by too. */
const namesLoopback = (hostAndPort: string): boolean => {
  if (!HOST_AND_PORT.test(hostAndPort)) return false;
  const url = `http://${hostAndPort}`;
  if (!URL.canParse(url)) return false;
  const name = new URL(url).hostname.replace(/\.$/, "");
  // Names below localhost are this machine's by RFC 6761; ::ffff:7f… is 127.… as IPv6 has it.
  if (name.endsWith(".localhost") || /^\[::ffff:7f[0-9a-f]{2}:/.test(name)) return true;
  return isLoopback(name.replace(/^\[(.*)\]$/, "$1"));
};

/** Also of several hosts in one header, of which it is not known which one counts. */
const isForeignHost = (host: string | null): boolean => host !== null && host !== "" && !namesLoopback(host);

/** `null` is what a page in a sandbox, and one that was opened as a file, are told to say. */
const isForeignOrigin = (origin: string | null): boolean => {
  if (origin === null) return false;
  const hostAndPort = /^https?:\/\/(.*)$/i.exec(origin)?.[1];
  return hostAndPort === undefined || !namesLoopback(hostAndPort);
};

/** A browser says so of what a foreign page loads without an Origin, as it does images; following a link is no harm. */
const isLoadedElsewhere = ({ method, headers }: Asked): boolean =>
  headers.get("sec-fetch-site") === "cross-site" &&
  !(headers.get("sec-fetch-mode") === "navigate" && (method === "GET" || method === "HEAD"));

const refusal = (detail: string): Response => Response.json({ detail: `${detail}: ${WHY}` }, { status: 403 });

/** What of the request is foreign, and its value as it was sent: it is the client's own. */
const foreignPart = (request: Asked): string | null => {
  const host = request.headers.get("host");
  if (isForeignHost(host)) return `Host '${host}' is not of this machine`;
  const origin = request.headers.get("origin");
  if (isForeignOrigin(origin)) return `Origin '${origin}' is not of this machine`;
  return isLoadedElsewhere(request) ? "A page that is not of this machine asked" : null;
};

const preflight = ({ headers }: Asked): Response =>
  new Response(null, {
    status: 204,
    headers: {
      "Access-Control-Allow-Methods": METHODS,
      // `*` would not cover Authorization.
      "Access-Control-Allow-Headers": headers.get("access-control-request-headers") ?? "*",
      "Access-Control-Max-Age": PREFLIGHT_SECONDS,
      Vary: "Access-Control-Request-Headers",
    },
  });

/** Any origin may ask, but with a key that it knows and not with a browser's cookies. */
const open: CrossOriginRules = {
  refuse: () => null,
  preflight,
  readable: (_request, answer) => {
    answer.headers.set(ALLOW_ORIGIN, "*");
    return answer;
  },
};

const ownMachine: CrossOriginRules = {
  refuse: (request) => {
    const part = foreignPart(request);
    return part === null ? null : refusal(part);
  },
  preflight,
  readable: (request, answer) => {
    answer.headers.append("Vary", "Origin");
    const origin = request?.headers.get("origin") ?? null;
    if (origin !== null && !isForeignOrigin(origin)) answer.headers.set(ALLOW_ORIGIN, origin);
    return answer;
  },
};

/** @param key empty: no authentication */
export const crossOriginRules = (key: string): CrossOriginRules => (key === "" ? ownMachine : open);
