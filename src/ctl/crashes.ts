import type { ListedInstance } from "../contract/instance-facts.ts";
import { oneLine } from "./table.ts";
import { since } from "./time.ts";

/** Crashes of an instance, for people: one that runs again is not well until it has run stably. */

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
