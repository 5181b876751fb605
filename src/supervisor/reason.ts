import type { ChildExit } from "../process/spawn.ts";

/** Why a process ended, in words for a person. */

const describeExit = (exit: ChildExit | null): string => {
  if (exit === null) return "the model server ended (its exit code went to an earlier daemon)";
  if (exit.signal !== null) {
    const hint = exit.signal === "SIGKILL" ? " (the system does that when memory runs out)" : "";
    return `the model server was killed by ${exit.signal}${hint}`;
  }
  return `the model server exited with code ${exit.code}`;
};

/** @param lines the lines of its log that tell why, as the backend picked them */
export const reasonOfExit = (exit: ChildExit | null, lines: readonly string[]): string =>
  lines.length === 0 ? describeExit(exit) : `${describeExit(exit)}: ${lines.join(" | ")}`;
