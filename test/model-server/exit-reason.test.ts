import { expect, test } from "bun:test";
import { judgeKill, reasonOfExit } from "../../src/model-server/exit-reason.ts";

const killed = { code: null, signal: "SIGKILL" } as const;

test("a SIGKILL is told as one for want of memory only where the system counted one since the start", () => {
  expect([judgeKill(3, 4), judgeKill(3, 3), judgeKill(null, 3), judgeKill(3, null)]).toEqual([
    "out-of-memory",
    "by-another",
    "unknown",
    "unknown",
  ]);
  expect(reasonOfExit(killed, [], "out-of-memory")).toContain("because memory ran out");
  expect(reasonOfExit(killed, [], "by-another")).not.toContain("memory");
  expect(reasonOfExit(killed, [], "unknown")).toContain("often memory ran out");
});

test("another signal, an exit code and an unknown end are told as they are", () => {
  expect(reasonOfExit({ code: null, signal: "SIGSEGV" }, ["a", "b"], null)).toBe(
    "the model server was killed by SIGSEGV: a | b",
  );
  expect(reasonOfExit({ code: 7, signal: null }, [], null)).toBe("the model server exited with code 7");
  expect(reasonOfExit(null, [], null)).toContain("earlier daemon");
});
