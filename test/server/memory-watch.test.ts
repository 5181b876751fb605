import { expect, test } from "bun:test";
import type { Memory } from "../../src/contract/index.ts";
import { MemoryWatch } from "../../src/server/memory-watch.ts";
import { until } from "../support/until.ts";

const memory = (used_gb: number) => ({ used_gb }) as Memory;

test("one that joins is told what is so now, though the others were told the same before", async () => {
  let used = 1;
  const watch = new MemoryWatch(async () => memory(used));
  const told: Memory[] = [];
  const end = watch.subscribe((now) => told.push(now));
  await until("the first look", () => told.length === 1);
  used = 2;
  // What the second one begins with is over before the next look.
  expect(await watch.now()).toEqual(memory(2));
  const late: Memory[] = [];
  const endLate = watch.subscribe((now) => late.push(now));
  used = 1;
  await until("the next look", () => late.length > 0);
  expect(late).toEqual([memory(1)]);
  end();
  endLate();
});
