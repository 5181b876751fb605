import { groupMembers } from "../process/group.ts";
import { listenersOn } from "../process/listeners.ts";

/** Whether a model server answers its own health check, and whether it is ours that answers. */

const ANSWER_MS = 2000;

/** Where to reach a server that was told to listen on `host`. */
export const reachableHost = (host: string): string => {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
};

export interface Endpoint {
  host: string;
  port: number;
  healthPath: string;
}

/** Status of the health check's answer; null where none came. */
export const askHealth = async (endpoint: Endpoint, timeoutMs: number = ANSWER_MS): Promise<number | null> => {
  try {
    const url = `http://${reachableHost(endpoint.host)}:${endpoint.port}${endpoint.healthPath}`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), keepalive: false, redirect: "manual" });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return null;
  }
};

/** Dense at first, then a hundredth of the time that it has taken already, up to a quarter of a second. */
const pauseAfter = (elapsedMs: number): number => Math.min(250, Math.max(10, elapsedMs / 100));

export type Readiness = { ready: true } | { ready: false; reason: string };

/** Wakes the wait for readiness before its pause is over: the log said something. */
export class ReadyHint {
  private wake: (() => void) | null = null;

  give(): void {
    this.wake?.();
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.wake = done;
    });
  }
}

/**
 * Waits until the server can answer. There is no time limit: large models take minutes. Ends with
 * null once `ended` says that nobody waits any more.
 */
export const waitUntilReady = async (
  endpoint: Endpoint,
  pgid: number,
  hint: ReadyHint,
  ended: () => boolean,
): Promise<Readiness | null> => {
  const began = performance.now();
  while (!ended()) {
    if ((await askHealth(endpoint)) === 200) {
      if (ended()) return null;
      const holders = await listenersOn(endpoint.port, endpoint.host, groupMembers(pgid));
      if (ended()) return null;
      if (holders.ours && !holders.foreign) return { ready: true };
      // Neither is there: it has just gone, which its exit will tell.
      if (holders.foreign) {
        return { ready: false, reason: `address in use: another program answers on port ${endpoint.port}` };
      }
      if (holders.unknown) return { ready: true };
    }
    if (ended()) return null;
    await hint.pause(pauseAfter(performance.now() - began));
  }
  return null;
};
