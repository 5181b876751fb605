/**
 * The URL of a request, taken apart by hand. Bun gives it as `http://<Host><path>` with whatever the client
 * wrote as Host, so that it need not be a URL at all, or as the path alone where that header is missing or
 * empty or cannot be one.
 */

const SCHEME = "http://".length;

/** Path and query. */
const targetOf = (url: string): string => {
  if (url.startsWith("/")) return url;
  const start = url.indexOf("/", SCHEME);
  return start === -1 ? "/" : url.slice(start);
};

/** The path as it was sent, percent signs included. */
export const pathOf = (url: string): string => {
  const target = targetOf(url);
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
};

/** Whether it names one of the operations, which last as long as the model server needs. */
export const isOperation = (url: string): boolean => /^\/instances\/[^/]+\/(?:start|stop|restart)$/.test(pathOf(url));

export const queryOf = (url: string): URLSearchParams => {
  const target = targetOf(url);
  const start = target.indexOf("?");
  return new URLSearchParams(start === -1 ? "" : (target.slice(start + 1).split("#", 1)[0] ?? ""));
};

/** Reading a body in pieces makes a request of the request, which takes a real URL; all else goes by the path behind a host. */
const hasUrl = ({ method, url }: Request): boolean => (method === "GET" ? !url.startsWith("/") : URL.canParse(url));

/** HEAD is answered as GET is, body and all: the runtime leaves out the body, and only then tells its length. */
const asGet = (request: Request): Request =>
  request.method === "HEAD" ? new Request(request, { method: "GET" }) : request;

/** The request as routes take it. */
export const routable = (request: Request): Request =>
  asGet(hasUrl(request) ? request : new Request(`http://localhost${targetOf(request.url)}`, request));
