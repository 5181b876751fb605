import { createHash, timingSafeEqual } from "node:crypto";

/** Who may come in. The key is compared in constant time, by digest, so that its length shows neither. */

export const OPEN_PATHS: readonly string[] = ["/", "/health", "/docs", "/openapi.json"];
export const OPEN_PREFIX = "/docs/assets/";
const SUBPROTOCOL = "solar-host";
const KEY_PROTOCOL = "key.";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

export type KeyCheck = (given: string | null) => boolean;

/** @param key empty: no authentication */
export const createKeyCheck = (key: string): KeyCheck => {
  if (key === "") return () => true;
  const expected = digest(key);
  return (given) => given !== null && timingSafeEqual(digest(given), expected);
};

/** The key that a request offers in its headers; never from its URL. */
export const offeredKey = (headers: Headers): string | null => {
  const header = headers.get("x-api-key");
  if (header !== null) return header;
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.get("authorization") ?? "");
  return bearer?.[1] ?? null;
};

export const isOpenPath = (path: string): boolean => OPEN_PATHS.includes(path) || path.startsWith(OPEN_PREFIX);

const offeredProtocols = (headers: Headers): string[] =>
  (headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());

/** The key that a browser offers beside the subprotocol, since it cannot set a header on a WebSocket. */
export const offeredSocketKey = (headers: Headers): string | null => {
  const fromHeader = offeredKey(headers);
  if (fromHeader !== null) return fromHeader;
  // Without ours beside it, the one that holds the key would be the one that is answered.
  if (selectedProtocol(headers) === null) return null;
  const protocol = offeredProtocols(headers).find((name) => name.startsWith(KEY_PROTOCOL));
  if (protocol === undefined) return null;
  return Buffer.from(protocol.slice(KEY_PROTOCOL.length), "base64url").toString("utf8");
};

/** The subprotocol to select: ours where the client offers it; null where it offers none that is ours. */
export const selectedProtocol = (headers: Headers): string | null =>
  offeredProtocols(headers).includes(SUBPROTOCOL) ? SUBPROTOCOL : null;

/** Whether the client offers subprotocols without ours: the runtime would select one of them by itself. */
export const offersOnlyForeign = (headers: Headers): boolean =>
  headers.has("sec-websocket-protocol") && selectedProtocol(headers) === null;

export const UNAUTHORIZED = "Invalid or missing API key";
