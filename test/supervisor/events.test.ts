import { describe, expect, spyOn, test } from "bun:test";
import type { Instance } from "../../src/contract/index.ts";
import { EventStream, type SupervisorEvent } from "../../src/supervisor/events.ts";
import { testSupervisor } from "../support/supervisor.ts";

const changed = (id: string): SupervisorEvent => ({ type: "changed", instance: { id } as Instance, cause: null });

describe("subscribers", () => {
  test("get each event in order, until they end", () => {
    const events = new EventStream();
    const seen: string[] = [];
    const end = events.subscribe((event) => seen.push(event.type));
    events.publish(changed("one"));
    events.publish({ type: "state", id: "one", change: {} as never });
    end();
    events.publish(changed("one"));
    expect(seen).toEqual(["changed", "state"]);
  });

  test("that end one another while they are told disturb no other", () => {
    const events = new EventStream();
    const seen: string[] = [];
    const ends: (() => void)[] = [];
    events.subscribe(() => {
      seen.push("first");
      ends[0]?.();
    });
    ends.push(events.subscribe(() => seen.push("ended")));
    events.subscribe(() => seen.push("last"));
    events.publish(changed("one"));
    expect(seen).toEqual(["first", "last"]);
  });
});

describe("a subscriber that throws", () => {
  const silenced = () => spyOn(globalThis, "reportError").mockImplementation(() => undefined);

  test("keeps no other from being told, and is told of itself", () => {
    using reported = silenced();
    const events = new EventStream();
    const fault = new Error("broken");
    const seen: string[] = [];
    events.subscribe(() => {
      throw fault;
    });
    events.subscribe(({ type }) => seen.push(type));
    events.publish(changed("one"));
    expect([seen, reported.mock.calls]).toEqual([["changed"], [[fault]]]);
  });

  test("disturbs no start and no stop, whatever it is told", async () => {
    using reported = silenced();
    await using place = testSupervisor(23_000 + (process.pid % 100) * 10);
    const instance = await place.instance("stopped");
    place.supervisor.events.subscribe(() => {
      throw new Error("broken");
    });
    await instance.lifecycle.start(30_000, "a person");
    expect(instance.view).toMatchObject({ status: "running", failure: null, restarts: 0 });
    await instance.lifecycle.stop("a person");
    expect(instance.view.status).toBe("stopped");
    expect(reported).toHaveBeenCalled();
  });
});

describe("waiting", () => {
  test("is done when it is there after an event of that instance, or when it has waited long enough", async () => {
    const events = new EventStream();
    let value = 0;
    const waiting = events.until("one", () => value === 2, 60_000);
    for (value = 1; value <= 2; value++) events.publish(changed("one"));
    value = 2;
    events.publish(changed("one"));
    await waiting;
    await events.until("one", () => false, 1);
  });

  test("looks at no event of another instance", async () => {
    const events = new EventStream();
    let looked = 0;
    const waiting = events.until("one", () => ++looked === 2, 60_000);
    events.publish(changed("two"));
    expect(looked).toBe(1);
    events.publish(changed("one"));
    await waiting;
  });

  test("ends with what looking throws, and looks no more after that", async () => {
    const events = new EventStream();
    let looked = 0;
    const waiting = events.until(
      "one",
      () => {
        looked += 1;
        if (looked === 2) throw new Error("failed");
        return false;
      },
      60_000,
    );
    events.publish(changed("one"));
    expect(waiting).rejects.toThrow("failed");
    events.publish(changed("one"));
    expect(looked).toBe(2);
  });
});
