import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { errorCode, isLackOfFiles, meaningOf } from "../common/system-error.ts";

/** Why a program cannot listen on an address: the system's code for it, and the words for that. */

/** What the system says of a new descriptor; null where it gives one. */
const lackOfDescriptors = (): string | null => {
  try {
    closeSync(openSync("/dev/null", "r"));
    return null;
  } catch (error) {
    return errorCode(error) ?? null;
  }
};

/**
 * The system's code; null where a program could listen there now.
 * @param host an address, of which the runtime tells no code only where there is not even a socket for it
 */
export const bindError = (host: string, port: number): Promise<string | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(errorCode(error) ?? lackOfDescriptors() ?? "EAFNOSUPPORT"));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)));
  });

/** What the reader may change: a setting of the daemon, or a field of a config. */
interface Changeable {
  port: string;
  host: string;
}

const PRIVILEGED = 1024;

/** What is wrong and what to do, in sentences. */
export const bindProblem = (
  code: string,
  host: string,
  port: number,
  { port: PORT, host: HOST }: Changeable,
): string => {
  const every = "0.0.0.0 is all that it has";
  if (isLackOfFiles(code)) return `${meaningOf(code, host)}.`;
  switch (code) {
    case "EADDRINUSE":
      return `the address is already in use. Change ${PORT} or ${HOST}, or stop the other program.`;
    case "EADDRNOTAVAIL":
      return `this machine does not have that address. Change ${HOST}; ${every}.`;
    case "EAFNOSUPPORT":
      return `this machine has no ${host.includes(":") ? "IPv6" : "IPv4"}. Change ${HOST}; ${every}.`;
    case "EACCES":
    case "EPERM":
      return port < PRIVILEGED
        ? `not permitted: ports below ${PRIVILEGED} are for root. Change ${PORT}, or allow them: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit.`
        : `not permitted to this user. Change ${PORT} or ${HOST}.`;
    case "EINVAL":
      return `no program can listen on such an address. Change ${HOST}; ${every}.`;
    default:
      return `the system refuses it (${code}). Change ${PORT} or ${HOST}.`;
  }
};
