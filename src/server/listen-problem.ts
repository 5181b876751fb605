import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { addressOf } from "./address.ts";

/** Why the daemon cannot listen, and what to do. */

const byCode: Record<string, string> = {
  EADDRINUSE: "the address is already in use. Change PORT or HOST, or stop the other program.",
  EADDRNOTAVAIL: "this machine does not have that address. Change HOST; 0.0.0.0 is all that it has.",
  EACCES: "not permitted. Change PORT: those below 1024 are for root.",
};

const resolves = async (host: string): Promise<boolean> => {
  if (isIP(host) !== 0) return true;
  return await lookup(host).then(
    () => true,
    () => false,
  );
};

/** Of a name that nobody knows, Bun's error has whatever code the last call left. */
export const listenProblem = async (host: string, port: number, error: NodeJS.ErrnoException): Promise<string> => {
  const { code = "", message } = error;
  const why = (await resolves(host))
    ? (byCode[code] ?? `${message}. Change PORT or HOST.`)
    : "no such host. Change HOST.";
  return `cannot listen on ${addressOf(host, port)}: ${why}`;
};
