import { describe, expect, test } from "bun:test";
import {
  type AdoptionFacts,
  type AdoptionOutcome,
  decideAdoption,
  isOurs,
} from "../../src/supervisor/adoption-decision.ts";

const folder = { id: "id", path: "/a" };

test.each<[string, { folder?: string }, string | null, boolean]>([
  ["of this folder is ours", { folder: "id" }, "id", true],
  ["of this folder, whose environment is hidden, is ours", { folder: "id" }, null, true],
  ["that was copied from another folder is not ours", { folder: "other" }, "other", false],
  ["of an older version, in this folder, is ours", {}, "/a", true],
  ["of an older version, whose environment is hidden, is ours", {}, null, true],
  ["of an older version, whose process a newer one started here, is ours", {}, "id", true],
  ["of an older version, copied from another folder, is not ours", {}, "/b", false],
  ["of an older version, of a process that a newer one started elsewhere, is not ours", {}, "other", false],
])("the process of a record %s", (_, record, mark, ours) => {
  expect(isOurs(record, folder, mark)).toBe(ours);
});

describe("what is made of a launch record", () => {
  const process = { pid: 1, startTime: "1", bootId: "boot" };
  const facts: AdoptionFacts = {
    record: { status: "running", process },
    isAlive: true,
    isOurs: true,
    entry: "should-run",
    bootId: "boot",
  };
  const dead = { ...facts, isAlive: false };

  test.each<[string, AdoptionFacts, AdoptionOutcome]>([
    ["the process that lives is adopted", facts, "adopt"],
    [
      "one that should not run is adopted too: its stop is finished then",
      { ...facts, entry: "should-not-run" },
      "adopt",
    ],
    ["the process of no instance is ended", { ...facts, entry: "none" }, "end"],
    ["that of an entry that cannot be read is left alone", { ...facts, entry: "unreadable" }, "leave-alone"],
    ["that of another folder is left alone", { ...facts, isOurs: false }, "leave-alone"],
    ["that of another folder, gone, is left alone", { ...dead, isOurs: false }, "leave-alone"],
    ["one that ran and is gone has crashed", dead, "crashed"],
    ["one that should not run any more has not", { ...dead, entry: "should-not-run" }, "clear-away"],
    ["one that was starting has not", { ...dead, record: { status: "starting", process } }, "clear-away"],
    ["one of before a reboot has not", { ...dead, bootId: "another" }, "clear-away"],
    ["a damaged record is cleared away", { ...dead, record: null, isOurs: false }, "clear-away"],
  ])("%s", (_, given, expected) => {
    expect(decideAdoption(given)).toBe(expected);
  });
});
