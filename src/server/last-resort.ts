import type { Journal } from "../common/journal.ts";
import { systemProblem } from "../common/system-error.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";

/**
 * A fault that was not foreseen. The daemon's state may be wrong from then on, so that it reports the fault and ends as
 * for an upgrade, with its models left running for the next daemon. Nothing relies on this.
 */

/** EX_SOFTWARE of sysexits.h: a service manager starts the daemon again. */
export const FAULT_EXIT = 70;

const LET_GO_MS = 5000;

/** Resolves at the first fault; each one is told. */
export const firstFault = (journal: Journal): Promise<"fault"> =>
  new Promise((resolve) => {
    const report = (fault: unknown): void => {
      const error = fault instanceof Error ? fault : new Error(String(fault));
      journal.error(`unexpected error: ${error.message}`, { stack: error.stack });
      resolve("fault");
    };
    process.on("unhandledRejection", report);
    process.on("uncaughtException", report);
  });

/** Lets go of all models, as far as that can still be done. */
export const letGoAfterFault = async (supervisor: Pick<Supervisor, "shutDown">, journal: Journal): Promise<void> => {
  journal.error("ending after that error; the models go on, and the next daemon takes them over");
  const letGo = supervisor
    .shutDown(true)
    .catch((error: unknown) => journal.error(`cannot let go: ${systemProblem(error)}`));
  await Promise.race([letGo, new Promise((resolve) => setTimeout(resolve, LET_GO_MS))]);
};
