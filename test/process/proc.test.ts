import { expect, test } from "bun:test";
import { isZombie, parsePsRows, parseStartTime } from "../../src/process/darwin.ts";
import { isLiving, parseProcStat, readProcStat, socketInodes } from "../../src/process/proc.ts";

const NOBODY = 2 ** 22 + 1;
const line = (name: string, state = "S", threads = 1) =>
  `4711 (${name}) ${state} 1 4700 4699 0 -1 4194560 1000 0 0 0 10 5 0 0 20 0 ${threads} 0 160368 2646016 500 18446744073709551615\n`;

test("a stat line gives state, parent, group, session, threads and start time", () => {
  expect(parseProcStat(line("llama-server", "R", 17))).toEqual({
    pid: 4711,
    state: "R",
    parent: 1,
    group: 4700,
    session: 4699,
    threads: 17,
    startTime: "160368",
  });
});

test.each(["a b", "a) Z 1 2 3", "((", "x\ny) S 9 9", ""])("a program named %j does not shift the fields", (name) => {
  expect(parseProcStat(line(name))).toMatchObject({ state: "S", group: 4700, startTime: "160368" });
});

test.each(["", "4711", "4711 (x", "4711 (x) S 1 2"])("%j is no stat line", (text) => {
  expect(parseProcStat(text)).toBeNull();
});

test("a zombie has ended, but not while threads of it are left", () => {
  const living = (state: string, threads: number) => {
    const stat = parseProcStat(line("x", state, threads));
    return stat !== null && isLiving(stat);
  };
  expect(living("Z", 1)).toBe(false);
  expect(living("X", 0)).toBe(false);
  expect(living("Z", 3)).toBe(true);
  for (const state of ["R", "S", "D", "T", "t", "I"]) expect(living(state, 1)).toBe(true);
});

test.skipIf(process.platform !== "linux")("a process that is not there is null, and holds no sockets", () => {
  expect(readProcStat(NOBODY)).toBeNull();
  expect(socketInodes(NOBODY)).toEqual([]);
  expect(readProcStat(process.pid)?.pid).toBe(process.pid);
});

test("macOS: a start time is told from the state behind it", () => {
  expect(parseStartTime("Mon Nov 24 10:00:00 2025     Ss\n")).toEqual({
    startTime: "Mon Nov 24 10:00:00 2025",
    state: "Ss",
  });
  expect(parseStartTime("Tue Dec  2 09:05:00 2025     Z+\n")?.state).toBe("Z+");
  expect(parseStartTime("")).toBeNull();
});

test("macOS: rows of processes with their groups and starts", () => {
  const text = "    1     1 Ss   Mon Nov 24 09:00:00 2025\n  502   500 Z    Tue Dec  2 09:05:00 2025    \n\n";
  expect(parsePsRows(text)).toEqual([
    { pid: 1, group: 1, state: "Ss", startTime: "Mon Nov 24 09:00:00 2025" },
    { pid: 502, group: 500, state: "Z", startTime: "Tue Dec 2 09:05:00 2025" },
  ]);
  expect(isZombie("Z+")).toBe(true);
  expect(isZombie("Ss")).toBe(false);
});
