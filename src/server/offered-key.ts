/** The key that a request offers: in its headers, never in its URL. */

const SUBPROTOCOL = "solar-host";
const KEY_PROTOCOL = "key.";

export const UNAUTHORIZED = "Invalid or missing API key";

export const offeredKey = (headers: Headers): string | null => {
  const header = headers.get("x-api-key");
  if (header !== null) return header;
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.get("authorization") ?? "");
  return bearer?.[1] ?? null;
};

const offeredProtocols = (headers: Headers): string[] =>
  (headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());

/** A browser can set no header on a WebSocket: it offers the key beside the subprotocol. */
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
