import { closeSync, openSync } from "node:fs";

/**
 * One GET over a socket of its own. Bun's fetch and node:http share one limit of 256 requests, and a question that
 * waits behind them makes a healthy model server look dead.
 */

export interface LocalAnswer {
  status: number;
  body: string;
}

/** `silent`: asked, and no answer in time. `unasked`: this process had no descriptor left to ask with. */
export type LocalOutcome = LocalAnswer | "silent" | "unasked";

const MOST_BYTES = 16 * 1024 * 1024;

const outOfDescriptors = (): boolean => {
  try {
    closeSync(openSync("/dev/null", "r"));
    return false;
  } catch {
    return true;
  }
};

/** The decoded body; null while more of it is to come. */
const unchunked = (data: Buffer): Buffer | null => {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = data.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const size = Number.parseInt(data.toString("latin1", at, lineEnd), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    const start = lineEnd + 2;
    if (data.length < start + size + 2) return null;
    parts.push(data.subarray(start, start + size));
    at = start + size + 2;
  }
};

/** Pure: the answer in what came so far. Null: not whole yet, or, once the connection has ended, no answer at all. */
export const parseAnswer = (data: Buffer, ended: boolean): LocalAnswer | null => {
  const headEnd = data.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const head = data.toString("latin1", 0, headEnd);
  const status = Number(/^HTTP\/1\.\d (\d{3})\b/.exec(head)?.[1]);
  if (Number.isNaN(status)) return null;
  const rest = data.subarray(headEnd + 4);
  const answer = (body: Buffer): LocalAnswer => ({ status, body: body.toString("utf8") });
  if (/^transfer-encoding:\s*chunked\s*$/im.test(head)) {
    const body = unchunked(rest);
    return body === null ? null : answer(body);
  }
  const length = /^content-length:\s*(\d+)\s*$/im.exec(head)?.[1];
  if (length !== undefined) return rest.length < Number(length) ? null : answer(rest.subarray(0, Number(length)));
  return ended ? answer(rest) : null;
};

/** @param hostname without brackets */
export const localGet = (
  { hostname, port, path }: { hostname: string; port: number; path: string },
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<LocalOutcome> => {
  const { promise, resolve } = Promise.withResolvers<LocalOutcome>();
  const parts: Buffer[] = [];
  let size = 0;
  const answerSoFar = (ended: boolean): LocalAnswer | null => parseAnswer(Buffer.concat(parts), ended);
  const timer = setTimeout(() => resolve("silent"), timeoutMs);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const head = Object.entries({ Host: `${host}:${port}`, Connection: "close", Accept: "*/*", ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  const connected = Bun.connect({
    hostname,
    port,
    socket: {
      open: (socket) => void socket.write(`GET ${path} HTTP/1.1\r\n${head}\r\n`),
      data: (_socket, data) => {
        parts.push(Buffer.from(data));
        size += data.length;
        const answer = answerSoFar(false);
        if (answer !== null) resolve(answer);
        else if (size > MOST_BYTES) resolve("silent");
      },
      close: () => resolve(answerSoFar(true) ?? "silent"),
      error: () => resolve("silent"),
      connectError: () => resolve(outOfDescriptors() ? "unasked" : "silent"),
    },
  });
  // A failed connection is told by connectError as well, and one that opens late is closed all the same.
  connected.catch(() => resolve(outOfDescriptors() ? "unasked" : "silent"));
  return promise.finally(() => {
    clearTimeout(timer);
    connected.then((socket) => socket.terminate()).catch(() => undefined);
  });
};
