import type { ChildExit } from "../process/spawn.ts";

/** Why a process ended, in words for a person. Pure. */

export type Kill =
  /** The system counts more kills for want of memory than at the start of the process. */
  | "out-of-memory"
  /** It counts none. */
  | "by-another"
  | "unknown";

/** What a SIGKILL that the daemon did not send was. @param before kills for want of memory; null: unknown */
export const judgeKill = (before: number | null, after: number | null): Kill => {
  if (before === null || after === null) return "unknown";
  return after > before ? "out-of-memory" : "by-another";
};

const KILLS: Record<Kill, string> = {
  "out-of-memory": "the system killed the model server (SIGKILL) because memory ran out",
  "by-another": "the model server was killed by SIGKILL (which the daemon did not send)",
  unknown: "the model server was killed by SIGKILL (which the daemon did not send: often memory ran out)",
};

const describeExit = (exit: ChildExit | null, kill: Kill | null): string => {
  if (exit === null) return "the model server ended (its exit code went to an earlier daemon)";
  if (kill !== null) return KILLS[kill];
  if (exit.signal !== null) return `the model server was killed by ${exit.signal}`;
  return `the model server exited with code ${exit.code}`;
};

/**
 * @param lines the lines of its log that tell why, as the backend picked them
 * @param kill of one that ended by SIGKILL
 */
export const reasonOfExit = (exit: ChildExit | null, lines: readonly string[], kill: Kill | null): string => {
  const exited = describeExit(exit, kill);
  return lines.length === 0 ? exited : `${exited}: ${lines.join(" | ")}`;
};
