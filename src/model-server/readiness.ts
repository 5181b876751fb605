import { type Endpoint, reachableHost, urlOf } from "../common/endpoint.ts";
import { groupMembers } from "../process/group.ts";
import { listenersOn } from "../process/listeners.ts";
import { localGet } from "../process/local-get.ts";

/** Whether a model server answers its own health check, and whether it is ours that answers. */

const ANSWER_MS = 2000;

/** A server and the path of its health check. */
export interface HealthTarget extends Endpoint {
  healthPath: string;
}

const healthUrl = (target: HealthTarget): string => urlOf(target, target.healthPath);

/** Status of the health check's answer; null where none came, `unasked` where this process could not ask. */
export const askHealth = async (
  { host, port, healthPath }: HealthTarget,
  timeoutMs: number = ANSWER_MS,
): Promise<number | null | "unasked"> => {
  const outcome = await localGet({ hostname: reachableHost(host), port, path: healthPath }, {}, timeoutMs);
  if (outcome === "unasked") return outcome;
  return outcome === "silent" ? null : outcome.status;
};

/** Dense at first, then a hundredth of the time that it has taken already, up to a quarter of a second. */
const pauseAfter = (elapsedMs: number): number => Math.min(250, Math.max(10, elapsedMs / 100));

export type Readiness = { ready: true } | { ready: false; reason: string };

/** Wakes the wait for readiness before its pause is over: the log said something. */
export class ReadyHint {
  private wake: (() => void) | null = null;
  /** Given while a health check was under way: the next pause is none. */
  private given = false;

  give(): void {
    this.given = true;
    this.wake?.();
  }

  pause(ms: number): Promise<void> {
    if (this.given) {
      this.given = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wake = null;
        this.given = false;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.wake = done;
    });
  }
}

/** How long a server may take from the line that says it listens to its health check's 200. */
const LISTENING_GRACE_MS = 1000;
/** After which a server is said not to be ready, though its log tells of no fault. */
const PATIENCE_MS = 30_000;

/** What goes on while a server is waited for. */
export interface Waiting {
  ended(): boolean;
  /** Whether its log says that it listens. */
  listens(): boolean;
  /** What keeps it from being ready, in words for a person. */
  report(problem: string): void;
}

/** Pure: what to say of a health check's answer (null: none) that is not 200. Times are milliseconds. */
export const unreadyProblem = (
  endpoint: HealthTarget,
  status: number | null,
  waited: number,
  listeningFor: number,
  patience = PATIENCE_MS,
): string | null => {
  const url = healthUrl(endpoint);
  if (listeningFor >= LISTENING_GRACE_MS) {
    return status === null
      ? `its log says that it listens, but its health check ${url} gets no answer: it may listen at another address, or want TLS`
      : `its log says that it listens, but its health check ${url} answers ${status}`;
  }
  if (waited < patience) return null;
  const seconds = Math.round(patience / 1000);
  return status === null
    ? `not ready after ${seconds} s: its health check ${url} gets no answer yet`
    : `not ready after ${seconds} s: its health check ${url} answers ${status}`;
};

/**
 * Waits until the server can answer. There is no time limit: large models take minutes. Ends with
 * null once `waiting` says that the answer is not waited for any more.
 */
export const waitUntilReady = async (
  endpoint: HealthTarget,
  pgid: number,
  hint: ReadyHint,
  { ended, listens, report }: Waiting,
  patience?: number,
): Promise<Readiness | null> => {
  const began = performance.now();
  let listening: number | null = null;
  let reported: string | null = null;
  while (!ended()) {
    const now = performance.now();
    if (listens()) listening ??= now;
    const status = await askHealth(endpoint);
    if (status === 200) {
      if (ended()) return null;
      const holders = await listenersOn(endpoint.port, endpoint.host, await groupMembers(pgid));
      if (ended()) return null;
      if (holders.ours && !holders.foreign) return { ready: true };
      // Neither is there: it has just gone, which its exit will tell.
      if (holders.foreign) {
        return { ready: false, reason: `address in use: another program answers on port ${endpoint.port}` };
      }
      if (holders.unknown) return { ready: true };
    }
    if (ended()) return null;
    const listeningFor = listening === null ? 0 : now - listening;
    const problem = status === "unasked" ? null : unreadyProblem(endpoint, status, now - began, listeningFor, patience);
    if (problem !== null && problem !== reported && status !== 200) report(problem);
    reported = problem ?? reported;
    await hint.pause(pauseAfter(performance.now() - began));
  }
  return null;
};
