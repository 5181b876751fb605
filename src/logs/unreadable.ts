import { systemProblem } from "../common/system-error.ts";

/** Lines that are there but cannot be read now: too many open files, say, or a disk that fails. */
export class LogUnreadableError extends Error {
  override readonly name = "LogUnreadableError";

  constructor(cause: unknown) {
    super(`Cannot read the log: ${systemProblem(cause)}`, { cause });
  }
}
