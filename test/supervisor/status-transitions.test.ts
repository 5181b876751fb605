import { describe, expect, test } from "bun:test";
import { instanceStatuses } from "../../src/contract/index.ts";
import { isAtRest, nextStatus, type Transition } from "../../src/supervisor/status-transitions.ts";

const transitions: Transition[] = ["start", "ready", "fail", "crash", "stop", "ended", "adopt-running", "adopt"];

describe("the status of an instance", () => {
  test("changes in these ways and no other", () => {
    const table = instanceStatuses.flatMap((status) =>
      transitions.flatMap((transition) => {
        const next = nextStatus(status, transition);
        return next === null ? [] : [`${status} --${transition}--> ${next}`];
      }),
    );
    expect(table).toEqual([
      "stopped --start--> starting",
      "stopped --fail--> failed",
      "stopped --stop--> stopping",
      "stopped --adopt--> starting",
      "starting --ready--> running",
      "starting --fail--> failed",
      "starting --stop--> stopping",
      "starting --adopt-running--> running",
      "running --fail--> failed",
      "running --crash--> starting",
      "running --stop--> stopping",
      "failed --start--> starting",
      "failed --fail--> failed",
      "failed --stop--> stopping",
      "failed --adopt--> starting",
      "stopping --ended--> stopped",
    ]);
  });

  test("is running only by a health check that answered, or because it was when a daemon came back", () => {
    const ways = transitions.filter((transition) =>
      instanceStatuses.some((status) => nextStatus(status, transition) === "running"),
    );
    expect(ways).toEqual(["ready", "adopt-running"]);
  });

  test("leaves stopping only when nothing is left: a start that finishes late changes nothing", () => {
    expect(transitions.filter((transition) => nextStatus("stopping", transition) !== null)).toEqual(["ended"]);
  });

  test("allows an edit where nothing runs, after a failure too", () => {
    expect(instanceStatuses.filter(isAtRest)).toEqual(["stopped", "failed"]);
  });
});
