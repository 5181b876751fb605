import { expect, test } from "bun:test";
import { ageOf, bootId, identify, isSame } from "../../src/process/identity.ts";
import { endProcessesAfterEach, firstLineNumbers, startShell, until } from "./processes.ts";

endProcessesAfterEach();

/** A pid above Linux's greatest (2^22) and macOS's, so that no process has it. */
const NOBODY = 2 ** 22 + 1;

test("the boot id stays the same within a boot", () => {
  expect(bootId()).toMatch(/^[0-9a-fA-F-]{36}$/);
  expect(bootId()).toBe(bootId());
});

test("a live process is identified, and is the same when it is looked at again", async () => {
  const child = startShell("exec sleep 60");
  const first = identify(child.pid);
  if (first === null) throw new Error("not identified");
  expect(first).toMatchObject({ pid: child.pid, bootId: bootId() });
  await Bun.sleep(20);
  expect(identify(child.pid)).toEqual(first);
  expect(isSame(first)).toBe(true);
});

test("a process stays the same through an exec", async () => {
  const child = startShell("echo 1; exec sleep 60");
  const first = identify(child.pid);
  await firstLineNumbers(child);
  await Bun.sleep(20);
  expect(identify(child.pid)).toEqual(first);
});

test("a process that has ended is gone", async () => {
  const child = startShell("exec sleep 60");
  const identity = identify(child.pid);
  if (identity === null) throw new Error("not identified");
  child.kill("SIGKILL");
  await child.exited;
  expect(identify(child.pid)).toBeNull();
  expect(isSame(identity)).toBe(false);
});

test("a zombie whose parent does not wait for it is gone", async () => {
  const parent = startShell("sleep 0.01 & echo $!; exec sleep 60");
  const [pid = 0] = await firstLineNumbers(parent);
  await until(() => identify(pid) === null, "the zombie counts as gone");
  // It is still in the process table: kill finds it, and nothing but its state says that it has ended.
  expect(() => process.kill(pid, 0)).not.toThrow();
});

test("another process under the same number is not the same", () => {
  const child = startShell("exec sleep 60");
  const identity = identify(child.pid);
  if (identity === null) throw new Error("not identified");
  expect(isSame({ ...identity, startTime: `${identity.startTime}0` })).toBe(false);
});

test("the same number and start time in another boot is not the same", () => {
  const child = startShell("exec sleep 60");
  const earlier = identify(child.pid, "00000000-0000-0000-0000-000000000000");
  if (earlier === null) throw new Error("not identified");
  expect(isSame(earlier)).toBe(false);
  expect(isSame(earlier, earlier.bootId)).toBe(true);
});

test("two processes have different identities", async () => {
  const [first, second] = [startShell("exec sleep 60"), startShell("exec sleep 60")];
  expect(identify(first.pid)).not.toEqual(identify(second.pid));
});

test.each([NOBODY, 0, -1, 1.5, Number.NaN])("no process has the number %p", (pid) => {
  expect(identify(pid)).toBeNull();
});

test("the age of a process goes by the machine's uptime, whatever its clock says by now", () => {
  const child = startShell("exec sleep 60");
  const identity = identify(child.pid);
  if (identity === null) throw new Error("not identified");
  const before = ageOf(identity);
  const clock = Date.now;
  Date.now = () => clock() + 86_400_000;
  try {
    expect(ageOf(identity)).toBeGreaterThanOrEqual(before);
    expect(ageOf(identity)).toBeLessThan(86_400_000);
  } finally {
    Date.now = clock;
  }
  const started = Number(identity.startTime);
  expect(ageOf({ ...identity, startTime: String(started - 1000) }) - ageOf(identity)).toBeGreaterThanOrEqual(9_000);
  // One that would have started later than now is not younger than nothing.
  expect(ageOf({ ...identity, startTime: String(started + 1_000_000) })).toBe(0);
});
