import { afterEach } from "bun:test";

/** Real processes for the tests of this folder. */

const started: Bun.Subprocess[] = [];

/** To be called by each test file: a hook that a shared module sets counts for the first file only that loads it. */
export function endProcessesAfterEach(): void {
  afterEach(async () => {
    for (const child of started.splice(0)) {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has left already.
      }
      await child.exited;
    }
  });
}

/** A shell command as the leader of its own session and group. */
export function startShell(script: string, env: Record<string, string> = {}): Bun.Subprocess<"ignore", "pipe"> {
  const child = Bun.spawn(["sh", "-c", script], {
    detached: true,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  started.push(child);
  return child;
}

/** The numbers on a child's first line, where it tells pids or ports. */
export async function firstLineNumbers(child: Bun.Subprocess<"ignore", "pipe">): Promise<number[]> {
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the child ended after ${JSON.stringify(text)}`);
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  return (text.split("\n")[0] ?? "").trim().split(/\s+/).map(Number);
}

/** Waits for a condition of the real world; throws when it does not come true in time. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not come true in ${ms} ms: ${what}`);
    await Bun.sleep(5);
  }
}
