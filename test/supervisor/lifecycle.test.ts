import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { InstanceNotFoundError, NotSavedError } from "../../src/supervisor/errors.ts";
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

test("an instance is shown when it is stored: one whose creation is refused is never seen", async () => {
  await using place = testSupervisor(ports);
  const { supervisor, dir } = place;
  const { config } = await place.instance("stopped");
  const file = join(dir, "config.json");
  rmSync(file);
  mkdirSync(file);
  const told: string[] = [];
  const refused = supervisor.create(config);
  const { instances } = supervisor.watch(({ type }) => told.push(type));
  expect([instances.length, supervisor.list().length]).toEqual([1, 1]);
  await expect(refused).rejects.toBeInstanceOf(NotSavedError);
  expect([told, supervisor.list().length]).toEqual([[], 1]);
  rmSync(file, { recursive: true });
  const { id } = await supervisor.create(config);
  expect([told, supervisor.list().at(-1)?.id]).toEqual([["created"], id]);
});
