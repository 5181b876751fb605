import { askHealth, type HealthTarget } from "./readiness.ts";
import type { LaunchServices } from "./services.ts";

/**
 * Whether a running model server still answers. A server that is at work may be too busy to answer,
 * so it is only reported while its log or its slots move, and for a limited time. One that says that it is well while
 * nothing of its work moves any more is given the same time, as is one that loads its model again. Any other error for
 * ever is the answer of a server that is not well.
 */

const MISSED_IN_A_ROW = 3;
/** What a server answers that loads its model: one that slept, say. */
const LOADING = 503;
const ANSWER_MS = 5000;

export type LivenessVerdict =
  | { type: "well" }
  | { type: "missed" }
  | { type: "silent-at-work"; message: string }
  | { type: "hung"; message: string };

/** What tells of a server that it is at work, though it does not answer. */
export interface SignsOfWork {
  /** Whether a slot is at work, as far as anything tells. */
  readonly busy: boolean;
  /** Grows with each line of its log. */
  readonly lines: number;
  /** Milliseconds for which a slot is at work and nothing has moved, though the server says that it is well. */
  readonly stuckFor: number;
}

export interface LivenessFacts {
  /** Health checks that were answered neither by 200 nor by a server that loads, in a row. */
  missed: number;
  /** What the last one was answered by; null where no answer came. */
  status: number | null;
  /** Whether a slot is at work, or its log has grown of late. */
  busy: boolean;
  /** Milliseconds since the last 200. */
  silentFor: number;
  /** As of {@link SignsOfWork}. */
  stuckFor: number;
  hangTimeout: number;
}

/** Pure: what missed answers mean. */
export const judgeLiveness = ({
  missed,
  status,
  busy,
  silentFor,
  stuckFor,
  hangTimeout,
}: LivenessFacts): LivenessVerdict => {
  if (stuckFor >= hangTimeout) {
    const message = `the model server answers its health check, but has not got on with its work for ${Math.round(stuckFor / 1000)} s`;
    return { type: "hung", message };
  }
  if (status === LOADING && silentFor >= hangTimeout) return judgeFaulty(missed, status, true, silentFor, hangTimeout);
  if (missed === 0) return { type: "well" };
  if (missed < MISSED_IN_A_ROW) return { type: "missed" };
  return status === null
    ? judgeSilent(missed, busy, silentFor, hangTimeout)
    : judgeFaulty(missed, status, busy, silentFor, hangTimeout);
};

const inSeconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

const judgeSilent = (missed: number, busy: boolean, silentFor: number, hangTimeout: number): LivenessVerdict => {
  if (!busy) {
    const message = `the model server does not answer any more: ${missed} health checks in a row missed`;
    return { type: "hung", message };
  }
  if (silentFor >= hangTimeout) {
    const message = `the model server has been at work without an answer for ${inSeconds(silentFor)}`;
    return { type: "hung", message };
  }
  const message = `the model server has not answered ${missed} health checks in a row, but is at work; it is left alone for at most ${inSeconds(hangTimeout)}`;
  return { type: "silent-at-work", message };
};

const judgeFaulty = (
  missed: number,
  status: number,
  busy: boolean,
  silentFor: number,
  hangTimeout: number,
): LivenessVerdict => {
  const fault = `the model server is not well: its health check answers ${status}`;
  if (!busy) return { type: "hung", message: `${fault}, ${missed} times in a row` };
  if (silentFor >= hangTimeout) return { type: "hung", message: `${fault}, for ${inSeconds(silentFor)}` };
  const message = `${fault}, but it is at work; it is left alone for at most ${inSeconds(hangTimeout)}`;
  return { type: "silent-at-work", message };
};

/**
 * Asks every `healthInterval`. `hung` resolves when the server should be restarted; `report` is told
 * of a silent one that is left alone, and null when it answers again.
 */
export const watchLiveness = (
  host: Pick<LaunchServices, "healthInterval" | "hangTimeout">,
  endpoint: HealthTarget,
  signs: SignsOfWork,
  report: (message: string | null) => void,
): { hung: Promise<{ hung: string }>; end(): void } => {
  let missed = 0;
  let lastAnswer = performance.now();
  /** Of the log, at the last checks, oldest first. */
  const lines = [signs.lines];
  let reported = false;
  let timer: Timer | null = null;
  let ended = false;
  const { promise, resolve } = Promise.withResolvers<{ hung: string }>();

  const check = async (): Promise<void> => {
    const status = await askHealth(endpoint, Math.min(ANSWER_MS, host.healthInterval));
    if (ended) return;
    // That this process has no descriptor left says nothing of the model server.
    if (status === "unasked") return schedule();
    missed = status === 200 || status === LOADING ? 0 : missed + 1;
    if (status === 200) lastAnswer = performance.now();
    const busy = signs.busy || signs.lines !== lines[0];
    lines.push(signs.lines);
    if (lines.length > MISSED_IN_A_ROW) lines.shift();
    const verdict = judgeLiveness({
      missed,
      status,
      busy,
      silentFor: performance.now() - lastAnswer,
      stuckFor: signs.stuckFor,
      hangTimeout: host.hangTimeout,
    });
    if (verdict.type === "hung") return resolve({ hung: verdict.message });
    if (verdict.type === "silent-at-work" && !reported) report(verdict.message);
    if (verdict.type === "well" && reported) report(null);
    reported = verdict.type === "silent-at-work" || (reported && verdict.type === "missed");
    schedule();
  };
  const schedule = (): void => {
    timer = setTimeout(() => void check(), host.healthInterval);
  };
  if (host.healthInterval > 0) schedule();
  const end = (): void => {
    ended = true;
    if (timer !== null) clearTimeout(timer);
  };
  return { hung: promise, end };
};
