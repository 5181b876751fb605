import { expect, test } from "bun:test";
import { rebased } from "../../src/ctl/config-diff.ts";

const before = { alias: "a", temp: 1, port: null };

test("what was changed is put into what somebody else made of it meanwhile", () => {
  const now = { alias: "b", temp: 1, port: null, added: true };
  expect(rebased(before, { ...before, temp: 0.5 }, now)).toEqual({
    config: { alias: "b", temp: 0.5, port: null, added: true },
    clashes: [],
  });
});

test("a field that was taken out is taken out", () => {
  expect(rebased(before, { alias: "a", port: 1 }, { ...before, alias: "b" }).config).toEqual({ alias: "b", port: 1 });
});

test("a field that both changed is a clash, unless both gave it the same value", () => {
  const after = { ...before, temp: 0.5 };
  expect(rebased(before, after, { ...before, temp: 0.3 }).clashes).toEqual([{ name: "temp", before: 1, after: 0.3 }]);
  expect(rebased(before, after, after).clashes).toEqual([]);
});
