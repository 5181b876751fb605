import type { InstanceStatus, ListedInstance } from "../contract/instance-facts.ts";
import { CtlError, exitCodes } from "./errors.ts";
import type { Paint, Palette } from "./io.ts";
import { asWord } from "./names.ts";

/** What a status means to people. */

export const paintStatus = (status: InstanceStatus, palette: Palette): Paint => {
  switch (status) {
    case "running":
      return palette.green;
    case "starting":
    case "stopping":
      return palette.yellow;
    case "failed":
      return palette.red;
    case "stopped":
      return palette.dim;
  }
};

/** Nothing of it runs and nothing is going to. */
export const isAtRest = (status: InstanceStatus): boolean => status === "stopped" || status === "failed";

/** For commands that need a running instance. */
export const notRunning = ({ status, error_message }: ListedInstance, name: string): CtlError =>
  new CtlError(
    exitCodes.notRunning,
    `${name} is ${status}${status === "failed" && error_message !== null ? `: ${error_message}` : ""}`,
    [
      status === "starting"
        ? `wait for it: solar-host ctl wait ${asWord(name)} --for running`
        : `start it: solar-host ctl start ${asWord(name)} --wait`,
    ],
  );
