import { expect, test } from "bun:test";
import { groupAlive, groupMembers, hasEntry, processesWithEnv, signalGroup } from "../../src/process/group.ts";
import { endProcessesAfterEach, firstLineNumbers, startShell, until } from "./processes.ts";

endProcessesAfterEach();

const sorted = (pids: number[]) => pids.toSorted((a, b) => a - b);
const groupGone = (pgid: number) => until(async () => !(await groupAlive(pgid)), "the group is gone");

test("a group's members are the leader and what it forked", async () => {
  const leader = startShell("sleep 60 & a=$!; sleep 60 & echo $a $!; wait");
  const children = await firstLineNumbers(leader);
  expect(sorted(await groupMembers(leader.pid))).toEqual(sorted([leader.pid, ...children]));
  expect(await groupAlive(leader.pid)).toBe(true);
});

test("a group lives on when its leader has left a child behind", async () => {
  const leader = startShell("sleep 60 & echo $!");
  const [child = 0] = await firstLineNumbers(leader);
  await leader.exited;
  expect(await groupMembers(leader.pid)).toEqual([child]);
  expect(await groupAlive(leader.pid)).toBe(true);
  expect(await signalGroup(leader.pid, "SIGKILL")).toBe(true);
  await groupGone(leader.pid);
  expect(await groupMembers(leader.pid)).toEqual([]);
});

test("a signal reaches every member of the group", async () => {
  const leader = startShell("sleep 60 & sleep 60 & echo ready; wait");
  await firstLineNumbers(leader);
  expect(await signalGroup(leader.pid, "SIGTERM")).toBe(true);
  await leader.exited;
  expect(leader.signalCode).toBe("SIGTERM");
  await groupGone(leader.pid);
});

test("a member that ignores SIGTERM keeps the group alive until SIGKILL", async () => {
  const leader = startShell("(trap '' TERM; echo ready; while :; do sleep 60; done) & wait");
  await firstLineNumbers(leader);
  await signalGroup(leader.pid, "SIGTERM");
  await leader.exited;
  await Bun.sleep(30);
  expect(await groupAlive(leader.pid)).toBe(true);
  await signalGroup(leader.pid, "SIGKILL");
  await groupGone(leader.pid);
});

test.skipIf(process.platform !== "linux")("a group of which only a zombie is left is not alive", async () => {
  // The child leads a group of its own and its parent never waits for it.
  const parent = startShell("setsid sleep 0.2 & echo $!; exec sleep 60");
  const [pgid = 0] = await firstLineNumbers(parent);
  await until(() => groupAlive(pgid), "the child has its own group");
  await groupGone(pgid);
  expect(await groupMembers(pgid)).toEqual([]);
  // The zombie is still there, so a bare kill(-pgid, 0) would have said that the group lives.
  expect(() => process.kill(-pgid, 0)).not.toThrow();
});

test("a signal to a group that is gone is answered false", async () => {
  const leader = startShell("exit 0");
  await leader.exited;
  await groupGone(leader.pid);
  expect(await signalGroup(leader.pid, "SIGTERM")).toBe(false);
});

test.each([0, 1, -1, 1.5, Number.NaN])(
  "%p is refused as a group: it would mean all of them, or our own",
  async (pgid) => {
    await expect(signalGroup(pgid, "SIGTERM")).rejects.toThrow(RangeError);
    await expect(groupAlive(pgid)).rejects.toThrow(RangeError);
    await expect(groupMembers(pgid)).rejects.toThrow(RangeError);
  },
);

test("processes are found by their environment even when they have left the session", async () => {
  const mark = crypto.randomUUID();
  const leave = `'${process.execPath}' -e 'Bun.spawn(["sleep", "60"], { detached: true }).unref()'`;
  const leader = startShell(`${leave}; sleep 60 & echo $!; wait`, { SOLAR_TEST_MARK: mark });
  await firstLineNumbers(leader);
  await until(async () => (await processesWithEnv("SOLAR_TEST_MARK", mark)).length === 3, "all three are found");
  const members = await groupMembers(leader.pid);
  const away = (await processesWithEnv("SOLAR_TEST_MARK", mark)).filter((pid) => !members.includes(pid));
  expect(away).toHaveLength(1);
  await signalGroup(leader.pid, "SIGKILL");
  for (const pid of away) process.kill(pid, "SIGKILL");
  await until(async () => (await processesWithEnv("SOLAR_TEST_MARK", mark)).length === 0, "none is left");
});

test("a process whose mark only begins or ends like the wanted one is not found", async () => {
  const mark = crypto.randomUUID();
  const leader = startShell("echo 1; exec sleep 60", { SOLAR_TEST_MARK: `${mark}-2`, MY_SOLAR_TEST_MARK: mark });
  await firstLineNumbers(leader);
  expect(await processesWithEnv("SOLAR_TEST_MARK", mark)).toEqual([]);
  expect(await processesWithEnv("SOLAR_TEST_MARK", `${mark}-2`)).toEqual([leader.pid]);
});

test("an entry of an environment is matched as a whole", () => {
  const environ = Buffer.from("A=1\0XB=2\0B=2\0");
  expect(hasEntry(environ, Buffer.from("A=1\0"))).toBe(true);
  expect(hasEntry(environ, Buffer.from("B=2\0"))).toBe(true);
  expect(hasEntry(environ, Buffer.from("=1\0"))).toBe(false);
  expect(hasEntry(Buffer.from("XB=2\0"), Buffer.from("B=2\0"))).toBe(false);
});

test("looking while processes come and go throws nothing", async () => {
  const leader = startShell("n=0; while [ $n -lt 2000 ]; do (exit 0) & n=$((n + 1)); done; exec sleep 60");
  for (let n = 0; n < 100; n++) {
    await groupMembers(leader.pid);
    await processesWithEnv("SOLAR_TEST_MARK", "nobody");
  }
  expect(await groupAlive(leader.pid)).toBe(true);
});
