import { describe, expect, test } from "bun:test";
import { StartGate } from "../../src/supervisor/start-gate.ts";

const never = new AbortController().signal;

/** Lets everything that can go on go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Asks for entry; tells how that stands. */
const ask = (gate: StartGate, signal: AbortSignal = never, priority = 0) => {
  const visitor: { state: "waiting" | "inside" | "refused"; leave: () => void } = {
    state: "waiting",
    leave: () => undefined,
  };
  void gate.enter(signal, priority).then((leave) => {
    visitor.state = leave === null ? "refused" : "inside";
    if (leave !== null) visitor.leave = leave;
  });
  return visitor;
};

test("one that joins takes a place without waiting, and gives it back before another is let in", async () => {
  const gate = new StartGate(1);
  const never = new AbortController().signal;
  const leaves = [gate.join(), gate.join()];
  let entered = false;
  const entering = gate.enter(never).then((leave) => {
    entered = true;
    return leave;
  });
  leaves[0]?.();
  await Promise.resolve();
  expect(entered).toBe(false);
  leaves[1]?.();
  expect(await entering).toBeFunction();
});

describe("the gate that bounds how many models load at once", () => {
  test("lets all in where there is no limit", async () => {
    const gate = new StartGate(0);
    const visitors = Array.from({ length: 50 }, () => ask(gate));
    await settle();
    expect(visitors.every(({ state }) => state === "inside")).toBe(true);
  });

  test("lets in as many as its limit, and then one for each that leaves, in the order in which they came", async () => {
    const gate = new StartGate(2);
    const visitors = Array.from({ length: 5 }, () => ask(gate));
    const states = () => visitors.map(({ state }) => state === "inside");
    await settle();
    expect(states()).toEqual([true, true, false, false, false]);
    visitors[1]?.leave();
    await settle();
    expect(states()).toEqual([true, true, true, false, false]);
    visitors[0]?.leave();
    visitors[2]?.leave();
    await settle();
    expect(states()).toEqual([true, true, true, true, true]);
  });

  test("lets the most urgent in first, and equals in the order in which they came", async () => {
    const gate = new StartGate(1);
    const order: number[] = [];
    const first = ask(gate, never, 0);
    const waiting = [0, 5, -1, 5, 1].map((priority) => ask(gate, never, priority));
    await settle();
    for (let inside: ReturnType<typeof ask> | undefined = first; inside !== undefined; ) {
      inside.leave();
      inside.state = "refused";
      await settle();
      inside = waiting.find(({ state }) => state === "inside");
      if (inside !== undefined) order.push(waiting.indexOf(inside));
    }
    expect(order).toEqual([1, 3, 4, 0, 2]);
  });

  test("counts one that leaves twice once", async () => {
    const gate = new StartGate(1);
    const first = ask(gate);
    await settle();
    first.leave();
    first.leave();
    const [second, third] = [ask(gate), ask(gate)];
    await settle();
    expect([second.state, third.state]).toEqual(["inside", "waiting"]);
  });

  test("lets go of one that is stopped while it waits, and those behind it move up", async () => {
    const gate = new StartGate(1);
    const stop = new AbortController();
    const [first, second, third] = [ask(gate), ask(gate, stop.signal), ask(gate)];
    await settle();
    stop.abort();
    await settle();
    expect([second.state, third.state]).toEqual(["refused", "waiting"]);
    first.leave();
    await settle();
    expect(third.state).toBe("inside");
  });

  test("does not let in one that was stopped before it came", async () => {
    const gate = new StartGate(1);
    expect(await gate.enter(AbortSignal.abort())).toBeNull();
    const next = ask(gate);
    await settle();
    expect(next.state).toBe("inside");
  });

  test("keeps its place for one that is stopped right after it was admitted, until it leaves", async () => {
    const gate = new StartGate(1);
    const stop = new AbortController();
    const [first, second, third] = [ask(gate), ask(gate, stop.signal), ask(gate)];
    await settle();
    first.leave();
    stop.abort();
    await settle();
    expect([second.state, third.state]).toEqual(["inside", "waiting"]);
    second.leave();
    await settle();
    expect(third.state).toBe("inside");
  });
});
