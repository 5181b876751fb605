import type { InstanceStatus, ListedInstance } from "../contract/instance-facts.ts";
import type { Phase } from "../contract/runtime-state.ts";
import { CtlError, exitCodes } from "./errors.ts";
import type { Color, Paint, Palette } from "./io.ts";
import { asWord } from "./names.ts";
import { oneLine } from "./table.ts";
import { since } from "./time.ts";

/** What the state of an instance means to people: its colour, whether it is well, and why not. */

const statusColors = {
  running: "green",
  starting: "yellow",
  stopping: "yellow",
  failed: "red",
  stopped: "dim",
} as const satisfies Record<InstanceStatus, Color>;

export const paintStatus = (status: InstanceStatus, palette: Palette): Paint => palette[statusColors[status]];

const phaseColors = { prefill: "yellow", generating: "green", idle: "dim" } as const satisfies Record<Phase, Color>;

export const paintPhase = (phase: Phase, palette: Palette): Paint => palette[phaseColors[phase]];

/** Nothing of it runs and nothing is going to. */
export const isAtRest = (status: InstanceStatus): boolean => status === "stopped" || status === "failed";

/** For commands that need a running instance. */
export const notRunning = (instance: ListedInstance, name: string): CtlError => {
  const reason = reasonOf(instance, Date.now());
  return new CtlError(exitCodes.notRunning, `${name} is ${instance.status}${reason === "" ? "" : `: ${reason}`}`, [
    instance.status === "starting"
      ? `wait for it: solar-host ctl wait ${asWord(name)} --for running`
      : `start it: solar-host ctl start ${asWord(name)} --wait`,
    ...(reason === "" ? [] : [`its log says more: solar-host ctl logs ${asWord(name)}`]),
  ]);
};

/** `crashed 3 times, last 12s ago: …`; null where there was none, or the daemon does not tell. */
export const crashText = ({ restarts = 0, failure }: ListedInstance, now: number): string | null => {
  if (failure === null || failure === undefined) return null;
  const times = restarts < 2 ? "crashed" : `crashed ${restarts} times, last`;
  const ago = failure.at === undefined ? "" : ` ${since(failure.at, now)} ago`;
  return `${times}${ago}: ${oneLine(failure.reason)}`;
};

/** Why an instance is as it is: its own sentence, else the crash that it came back from. */
export const reasonOf = (instance: ListedInstance, now: number): string =>
  instance.error_message ?? crashText(instance, now) ?? "";
