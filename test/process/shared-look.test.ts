import { expect, test } from "bun:test";
import { SharedLook } from "../../src/process/shared-look.ts";

test("looks begin no sooner after each other than they may, however many ask, and never two at once", async () => {
  const EVERY_MS = 40;
  const began: number[] = [];
  let running = 0;
  const look = new SharedLook(async () => {
    began.push(performance.now());
    running += 1;
    expect(running).toBe(1);
    await Bun.sleep(5);
    running -= 1;
    return began.length;
  }, EVERY_MS);
  const asked: Promise<number>[] = [];
  while (began.length < 4) {
    asked.push(look.fresh());
    await Bun.sleep(1);
  }
  const told = await Promise.all(asked);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  const pauses = began.slice(1).map((time, n) => time - (began[n] ?? 0));
  // A timer may come a millisecond early.
  for (const pause of pauses) expect(pause).toBeGreaterThan(EVERY_MS - 2);
});

test("what asks alone is told at once", async () => {
  let looks = 0;
  const look = new SharedLook(async () => ++looks, 3_600_000);
  expect(await look.fresh()).toBe(1);
});
