/** Lines that are there but cannot be read now: too many open files, say, or a disk that fails. */
export class LogUnreadableError extends Error {
  override readonly name = "LogUnreadableError";

  constructor(cause: unknown) {
    super(`Cannot read the log: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Only a file that is not there is gone; any other error may pass. */
export const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException | null)?.code === "ENOENT";
