import { expect, spyOn, test } from "bun:test";
import { terminate } from "../../src/model-server/termination.ts";
import { groupAlive } from "../../src/process/group.ts";
import { identify } from "../../src/process/identity.ts";
import { endProcessesAfterEach, firstLineNumbers, startShell } from "../process/processes.ts";

endProcessesAfterEach();

const NOBODYS_MARK = "00000000-0000-4000-8000-000000000000";
const neverStuck = (message: string): void => {
  throw new Error(message);
};

/** A leader of a group, with a child in it, and what tells it from any other process. */
const startGroup = async () => {
  const leader = startShell("sleep 60 & echo $!; wait");
  await firstLineNumbers(leader);
  const identity = identify(leader.pid);
  if (identity === null) throw new Error("the leader has gone");
  return { pid: leader.pid, identity, mark: NOBODYS_MARK };
};

test("a group is ended with all that is in it", async () => {
  const target = await startGroup();
  await terminate(target, 5000, () => false, neverStuck);
  expect(await groupAlive(target.pid)).toBe(false);
});

test("a group whose number is another's by now is neither signalled nor waited for", async () => {
  const target = await startGroup();
  const earlier = { ...target.identity, startTime: `${target.identity.startTime}0` };
  await terminate({ ...target, identity: earlier }, 0, () => true, neverStuck);
  expect(identify(target.pid)).toEqual(target.identity);
});

test("a group whose leader has ended is still ours", async () => {
  const leader = startShell("sleep 0.2; sleep 60 & echo $!");
  const identity = identify(leader.pid);
  await firstLineNumbers(leader);
  await leader.exited;
  expect(await groupAlive(leader.pid)).toBe(true);
  await terminate({ pid: leader.pid, identity, mark: NOBODYS_MARK }, 5000, () => false, neverStuck);
  expect(await groupAlive(leader.pid)).toBe(false);
});

test("a group that may not be signalled is told in words, with what to do", async () => {
  const target = await startGroup();
  const { kill } = process;
  const denied = Object.assign(new Error("kill EPERM"), { code: "EPERM" });
  const signals = spyOn(process, "kill").mockImplementation((pid, signal) => {
    if (signal === 0) return kill.call(process, pid, signal);
    throw denied;
  });
  const told: string[] = [];
  const onStuck = (message: string): void => {
    told.push(message);
    if (!message.includes("SIGKILL")) return;
    signals.mockRestore();
    process.kill(-target.pid, "SIGKILL");
  };
  try {
    await terminate(target, 0, () => true, onStuck);
  } finally {
    signals.mockRestore();
  }
  expect(told[0]).toBe(
    `cannot send SIGTERM to process group ${target.pid}: it runs as another user by now: end it as that user, or as root`,
  );
  expect(told.join()).not.toContain("EPERM");
});

test("a child whose end was not told yet is asked for by nothing else", async () => {
  const target = await startGroup();
  const { kill } = process;
  const asked: unknown[] = [];
  const signals = spyOn(process, "kill").mockImplementation((pid, signal) => {
    if (signal === 0) asked.push(pid);
    return kill.call(process, pid, signal);
  });
  let running = true;
  const ended = terminate({ ...target, isRunning: () => running }, 60_000, () => false, neverStuck);
  try {
    while (identify(target.pid) !== null) await Bun.sleep(5);
    expect(asked).toEqual([]);
    running = false;
    await ended;
    expect(asked).toContain(-target.pid);
  } finally {
    signals.mockRestore();
  }
});
