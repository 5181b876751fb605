/** Runs one command of a check in a process group of its own, so that it can be ended whole, and cannot end us. */

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGKILL";

let current: number | null = null;

const signalGroup = (pid: number, signal: Signal): void => {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nothing of it is left.
  }
};

/** What the terminal would have sent to the command too, were it in our group. */
export const passOn = (signal: Signal): void => {
  if (current !== null) signalGroup(current, signal);
};

/** Exit code; what the command prints goes where ours goes. @param limitMs after which it hangs, and is ended */
export const run = async (command: string[], cwd: string, limitMs: number): Promise<number> => {
  const child = Bun.spawn(command, { cwd, stdin: "ignore", stdout: "inherit", stderr: "inherit", detached: true });
  current = child.pid;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    signalGroup(child.pid, "SIGKILL");
  }, limitMs);
  await child.exited;
  clearTimeout(timer);
  current = null;
  const why = late ? ` after ${limitMs / 1000} s` : "";
  if (child.signalCode !== null) console.log(`==> ${command[0]} was ended by ${child.signalCode}${why}`);
  return child.exitCode ?? 1;
};
