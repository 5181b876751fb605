import type { Journal } from "../common/journal.ts";
import { systemProblem } from "../common/system-error.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { signalsIgnoredAtStart } from "./ignored-signals.ts";

/** A signal that was heard, and when by the clock of the process, in milliseconds. */
export interface Heard {
  signal: NodeJS.Signals;
  at: number;
}

/** Programs send what is one request within this time: milliseconds. */
const ONE_REQUEST_MS = 1000;
/** SIGINT is of the keyboard too, and a person in a hurry presses Ctrl-C again sooner than that. */
const ONE_KEY_MS = 100;

/**
 * Whether a signal asks again, and is not the first request heard once more. `timeout` signals its child and then the
 * group of it, systemd may send SIGHUP right behind SIGTERM, a runner passes on the Ctrl-C that the terminal sends to all.
 */
export const isImpatient = (first: Heard, { signal, at }: Heard): boolean =>
  at - first.at > (signal === "SIGINT" ? ONE_KEY_MS : ONE_REQUEST_MS);

/** Hears the signals that ask for the end, from before anything is taken over: none is lost while the daemon boots. */
export const hearSignals = (): { each(listener: (heard: Heard) => void): void } => {
  const early: Heard[] = [];
  let tell = (heard: Heard): void => void early.push(heard);
  const ignored = signalsIgnoredAtStart();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    if (ignored.has(name)) continue;
    process.on(name, (signal) => tell({ signal, at: performance.now() }));
  }
  return {
    each: (listener) => {
      tell = listener;
      for (const heard of early.splice(0)) listener(heard);
    },
  };
};

/** Resolves when everything is stopped (or let go of) after a signal, or cannot be; another request hurries it. */
export const untilAskedToEnd = (
  signals: ReturnType<typeof hearSignals>,
  supervisor: Supervisor,
  journal: Journal,
  keepInstances: boolean,
): Promise<boolean> =>
  new Promise((done) => {
    let first: Heard | null = null;
    signals.each((heard) => {
      const { signal } = heard;
      if (first !== null) {
        if (!isImpatient(first, heard)) return;
        journal.warn(`${signal} again: ending at once`);
        supervisor.hurryShutDown();
        return;
      }
      first = heard;
      journal.info(`${signal}: ${keepInstances ? "leaving the instances running" : "stopping every instance"}`);
      supervisor.shutDown(keepInstances).then(done, (error: unknown) => {
        journal.error(`unexpected error: ${systemProblem(error)}`);
        done(false);
      });
    });
  });
