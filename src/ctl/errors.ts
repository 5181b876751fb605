import { systemProblem } from "../common/system-error.ts";

/** What a command can end in; each number is documented in `solar-host ctl --help`. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notRunning: 3,
  notFound: 4,
  unreachable: 5,
  refusedKey: 6,
  timeout: 124,
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Over several instances or hosts: the highest is the worst. */
export const worst = (codes: readonly number[]): number => Math.max(exitCodes.ok, ...codes);

/** An end that was foreseen: what went wrong, and what to do next. */
export class CtlError extends Error {
  constructor(
    readonly exitCode: ExitCode,
    message: string,
    /** Lines to show below: what to do next, or more of what is wrong. */
    readonly hints: readonly string[] = [],
  ) {
    super(message);
  }
}

export const usageError = (message: string, ...hints: string[]): CtlError =>
  new CtlError(exitCodes.usage, message, hints);

/** What the system refuses, as an error that names what could not be done. @param path the file that it is about */
export const doing = <T>(what: string, path: string, run: () => T): T => {
  try {
    return run();
  } catch (error) {
    throw new CtlError(exitCodes.failure, `${what}: ${systemProblem(error, path)}`);
  }
};
