/** Runs small programs that may hang in a driver. */

export interface ProgramResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export type RunProgram = (argv: string[]) => Promise<ProgramResult | "timeout">;

/** The variables of our environment that they need; the daemon's key is not one. */
const INHERITED = ["PATH", "HOME", "LD_LIBRARY_PATH"];

/**
 * Gives a function that runs a program and kills it after `limitMs`. One that does not die of it sits in the
 * kernel: until it has gone, none is started beside it, or they would pile up.
 * @throws where the program cannot be started
 */
export const createRunner = (limitMs: number, env: Record<string, string | undefined> = process.env): RunProgram => {
  const passed = Object.fromEntries(INHERITED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
  let stuck = false;
  return async (argv) => {
    if (stuck) return "timeout";
    const child = Bun.spawn(argv, {
      // bun:ffi looks for a library in the working directory, too, when the loader does not find it.
      cwd: "/",
      env: { ...passed, LC_ALL: "C" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const limit = Promise.withResolvers<"timeout">();
    const timer = setTimeout(() => limit.resolve("timeout"), limitMs);
    const done = Promise.all([child.exited, child.stdout.text(), child.stderr.text()]).then(
      ([, stdout, stderr]): ProgramResult => ({ code: child.exitCode, stdout, stderr }),
    );
    const result = await Promise.race([done, limit.promise]);
    clearTimeout(timer);
    if (result === "timeout") {
      stuck = true;
      child.kill("SIGKILL");
      void child.exited.then(() => {
        stuck = false;
      });
      // A child that must not keep the daemon from ending.
      child.unref();
    }
    return result;
  };
};
