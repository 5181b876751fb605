import type { Journal } from "../common/journal.ts";
import type { Instance } from "../contract/index.ts";
import type { EventStream, StatusCause } from "./events.ts";
import { levelOf } from "./status-transitions.ts";

/** What happens to instances, as lines of the daemon's log. */

const writeChange = (
  journal: Journal,
  { status, id, config }: Instance,
  { from, reason, transition }: StatusCause,
): void => {
  const facts = { instance: id };
  if (status === from) journal.debug(`${config.alias}: ${reason}`, facts);
  else journal[levelOf(transition)](`${config.alias}: ${from} -> ${status}: ${reason}`, facts);
};

export const writeEvents = (events: EventStream, journal: Journal): void => {
  events.subscribe((event) => {
    if (event.type === "changed" && event.cause !== null) writeChange(journal, event.instance, event.cause);
    else if (event.type === "created") {
      journal.info(`${event.instance.config.alias}: created`, { instance: event.instance.id });
    } else if (event.type === "removed") {
      const logs = event.withLogs ? ", with its logs" : "";
      journal.info(`${event.config.alias}: deleted${logs}`, { instance: event.id });
    }
  });
};
