import { expect, setDefaultTimeout, test } from "bun:test";
import { InstanceNotFoundError } from "../../src/supervisor/errors.ts";
import { testSupervisor } from "../support/supervisor.ts";

/** Operations on one instance that meet each other, and what is published of them. */

setDefaultTimeout(60_000);

const ports = 29_000 + (process.pid % 100) * 20;

test.each(["stop", "restart"] as const)(
  "nothing is told of an instance after its deletion: a %s beside that finds nothing",
  async (verb) => {
    await using place = testSupervisor(ports);
    const { supervisor } = place;
    const instance = await place.instance("stopped", { exitCode: 1 });
    await instance.lifecycle.start(30_000, "a person").catch(() => undefined);
    expect(instance.view.status).toBe("failed");
    // Both have something to store first.
    instance.state.intent = "on-demand";
    const told: string[] = [];
    supervisor.events.subscribe((event) => told.push(event.type));
    const deleted = supervisor.delete(instance.id);
    // Microtasks alone: its save is under way then, and not done.
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    const beside = verb === "stop" ? instance.lifecycle.stop("a person") : instance.lifecycle.restart(0, "a person");
    const [outcome] = await Promise.allSettled([beside, deleted]);
    expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(InstanceNotFoundError) });
    expect(told.filter((type) => type !== "state").at(-1)).toBe("removed");
    expect(told.filter((type) => type === "removed")).toHaveLength(1);
  },
);
