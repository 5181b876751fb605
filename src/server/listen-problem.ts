import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { addressOf } from "../common/endpoint.ts";
import { isLackOfFiles } from "../common/system-error.ts";
import { bindError, bindProblem } from "../process/bind-error.ts";

/** Why the daemon cannot listen where it is told to. */

const resolves = async (host: string): Promise<boolean> => {
  if (isIP(host) !== 0) return true;
  return await lookup(host).then(
    () => true,
    () => false,
  );
};

const reason = async (host: string, port: number, code: string): Promise<string> => {
  const changeable = { port: "PORT", host: "HOST" };
  // They would also keep a name from being looked up.
  if (isLackOfFiles(code)) return bindProblem(code, host, port, changeable);
  // The runtime takes addresses with a zone for no part of a URL.
  if (isIP(host) !== 0 && host.includes("%"))
    return "an address with a zone ('%…') cannot be listened on. Change HOST; :: is every address, link-local ones too.";
  // For a name that does not resolve, the runtime's error has the code that the last call left.
  if (!(await resolves(host))) return "no such host. Change HOST.";
  // The runtime guesses this of what it does not know, as it does of a lack of permission outside Linux.
  const told = code === "EADDRINUSE" && isIP(host) !== 0 ? await bindError(host, port) : null;
  return bindProblem(told ?? code, host, port, changeable);
};

export const listenProblem = async (host: string, port: number, { code }: NodeJS.ErrnoException): Promise<string> =>
  `cannot listen on ${addressOf(host, port)}: ${await reason(host, port, code ?? "no code")}`;
