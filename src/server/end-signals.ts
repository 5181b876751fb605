import type { Journal } from "../common/journal.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { signalsIgnoredAtStart } from "./ignored-signals.ts";

/** Hears the signals that ask for the end, from before anything is taken over: none is lost while the daemon boots. */
export const hearSignals = (): { each(listener: (signal: NodeJS.Signals) => void): void } => {
  const heard: NodeJS.Signals[] = [];
  let tell: ((signal: NodeJS.Signals) => void) | null = null;
  const ignored = signalsIgnoredAtStart();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    if (ignored.has(name)) continue;
    process.on(name, (signal) => (tell === null ? heard.push(signal) : tell(signal)));
  }
  return {
    each: (listener) => {
      tell = listener;
      for (const signal of heard.splice(0)) listener(signal);
    },
  };
};

/** Resolves when everything is stopped (or let go of) after a signal, or cannot be; a second signal hurries it. */
export const untilAskedToEnd = (
  signals: ReturnType<typeof hearSignals>,
  supervisor: Supervisor,
  journal: Journal,
  keepInstances: boolean,
): Promise<boolean> =>
  new Promise((done) => {
    let asked = false;
    signals.each((signal) => {
      if (asked) {
        journal.warn(`${signal} again: ending at once`);
        supervisor.hurryShutDown();
        return;
      }
      asked = true;
      journal.info(`${signal}: ${keepInstances ? "leaving the instances running" : "stopping every instance"}`);
      supervisor.shutDown(keepInstances).then(done, (error: unknown) => {
        journal.error(`unexpected error: ${String(error)}`);
        done(false);
      });
    });
  });
