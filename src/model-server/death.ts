import type { Backend } from "../backends/index.ts";
import type { InstanceFailure } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { oomKills } from "../process/oom-kills.ts";
import { isOwnAddress } from "../process/own-address.ts";
import type { ChildExit } from "../process/spawn.ts";
import { judgeKill, reasonOfExit } from "./exit-reason.ts";
import type { LaunchedProcess } from "./launch.ts";

/** Why a process ended and what that says of another attempt, put together from its exit, its log and the system. */

/** Lines of the end of a log in which the reason of a death is looked for. */
export const REASON_LINES = 400;

/**
 * What another attempt would meet. `same`: the same fault, always. `same-before-ready`: the same, unless this start had
 * been ready. `no-memory`: too little memory, unless the model has run before and so has shown that it fits. `open`: it
 * may go well.
 */
export type Outlook = "same" | "same-before-ready" | "no-memory" | "open";

export interface Death {
  reason: string;
  outlook: Outlook;
  end: Pick<InstanceFailure, "exit_code" | "signal" | "log_lines">;
}

interface DeadProcess {
  exit: ChildExit | null;
  launched: Pick<LaunchedProcess, "record" | "oomKills">;
  /** What it was told to listen on. */
  host: string;
  log: InstanceLog;
}

export const deathOf = async (backend: Backend, { exit, launched, host, log }: DeadProcess): Promise<Death> => {
  const lines = log.lastLines(REASON_LINES, launched.record.first_seq);
  const cause = backend.deathCause(lines);
  const kill = exit?.signal === "SIGKILL" ? judgeKill(launched.oomKills, oomKills()) : null;
  const isForeign = cause?.type === "bind" && !(await isOwnAddress(host));
  const log_lines = backend.reasonLines(lines);
  const told = [
    ...(isForeign ? [`host: '${host}' is no address of this machine`] : []),
    ...log_lines,
    ...(cause?.type === "memory" ? [cause.advice] : []),
  ];
  const isFinalExit = typeof exit?.code === "number" && backend.isFinalExit(exit.code);
  return {
    reason: reasonOfExit(exit, told, kill),
    outlook: outlookOf({ isFinal: isFinalExit || isForeign, cause: cause?.type ?? null, kill }),
    end: { exit_code: exit?.code ?? null, signal: exit?.signal ?? null, log_lines },
  };
};

const outlookOf = ({
  isFinal,
  cause,
  kill,
}: {
  isFinal: boolean;
  cause: "lasting" | "memory" | "bind" | null;
  kill: ReturnType<typeof judgeKill> | null;
}): Outlook => {
  if (isFinal) return "same";
  if (cause === "memory" || kill === "out-of-memory") return "no-memory";
  return cause === "lasting" ? "same-before-ready" : "open";
};
