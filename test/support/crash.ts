import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a program die, or lets it fail, at one call to the system, by strace. */

/** scripts/test installs it; a test that needs it fails, and is not skipped, where there is none. */
export const requireStrace = (): string => {
  const found = Bun.which("strace");
  if (found === null) throw new Error("no strace on PATH: ./scripts/test installs it");
  return found;
};

/** On many systems only root may trace a process that is not its own child. */
const asTracer = (): string[] => {
  if (process.getuid?.() === 0) return [requireStrace()];
  const scope = Bun.spawnSync(["cat", "/proc/sys/kernel/yama/ptrace_scope"], { stderr: "ignore" }).stdout.toString();
  return scope.trim() === "" || scope.trim() === "0" ? [requireStrace()] : ["sudo", "-n", requireStrace()];
};

export interface Tracer {
  /** Lets go of whatever is traced. */
  detach(): Promise<void>;
}

/** Traces a process with all its threads, and what it starts, from now on. */
export const trace = async (pid: number, options: string[]): Promise<Tracer> => {
  const command = [...asTracer(), "-f", "-p", String(pid), ...options];
  const strace = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  let said = "";
  const decoder = new TextDecoder();
  const reader = strace.stderr.getReader();
  while (!said.includes("attached")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${command.join(" ")}: ${said}`);
    said += decoder.decode(value);
  }
  void (async () => {
    while (!(await reader.read()).done);
  })();
  return {
    detach: async () => {
      strace.kill("SIGTERM");
      await strace.exited;
    },
  };
};

/** One call to the system, by what it does to which file. */
export interface Call {
  name: string;
  /** The file that it changes (of a rename, the one that gets another name); empty where it changes none. */
  path: string;
  /** Which of those that the same thread makes, from 1 on. */
  nth: number;
}

const CALL = /^(\d+) +(\w+)\((.*)$/;
/** Calls after which a file, or the processes that there are, may be others than before. */
export const CHANGING = ["write", "pwrite64", "fsync", "link", "rename", "unlink", "ftruncate", "fallocate", "vfork"];

const pathOf = (name: string, rest: string): string => {
  // A descriptor is followed by its file in angle brackets; other files stand in quotes.
  if (/^(write|pwrite64|fsync|ftruncate|fallocate)$/.test(name)) return /^\d+<([^>]*)>/.exec(rest)?.[1] ?? "";
  // strace finds a rename by its first file, and a link by either.
  return [...rest.matchAll(/"([^"]*)"/g)].at(name === "rename" ? 0 : -1)?.[1] ?? "";
};

/** What `act` makes a process do: each kind of changing call on a file below `dir`, and each start of a process. */
export const callsOf = async (pid: number, dir: string, act: () => Promise<unknown>): Promise<Call[]> => {
  const file = join(tmpdir(), `solar-host-trace-${crypto.randomUUID()}`);
  const tracer = await trace(pid, ["-y", "-s", "400", "-o", file, "-e", `trace=${CHANGING.join(",")}`]);
  try {
    await act();
  } finally {
    await tracer.detach();
  }
  const calls = callsIn(readFileSync(file, "latin1"), dir);
  await Bun.file(file).delete();
  return calls;
};

/** The calls of a trace, each kind once, as far as they change a file below `dir` or start a process. */
export const callsIn = (traced: string, dir: string): Call[] => {
  const counts = new Map<string, number>();
  const calls = new Map<string, Call>();
  for (const line of traced.split("\n")) {
    const [, thread, name = "", rest = ""] = CALL.exec(line) ?? [];
    const path = pathOf(name, rest);
    if (name === "" || (name !== "vfork" && !path.startsWith(dir))) continue;
    const nth = (counts.get(`${thread} ${name} ${path}`) ?? 0) + 1;
    counts.set(`${thread} ${name} ${path}`, nth);
    calls.set(`${name} ${path} ${nth}`, { name, path, nth });
  }
  return [...calls.values()];
};

const injection = ({ name, path, nth }: Call, what: string): string[] => [
  ...["-o", "/dev/null", ...(path === "" ? [] : ["-P", path])],
  ...["-e", `trace=${name}`, "-e", `inject=${name}:${what}:when=${nth}`],
];

/** SIGKILL for a process right before it makes that call. */
export const killAt = (pid: number, call: Call): Promise<Tracer> => trace(pid, injection(call, "signal=SIGKILL"));

/** As a prefix to a command: SIGKILL right before it makes that call. The command's process is our child all the same. */
export const dyingAt = (call: Call): string[] => [requireStrace(), "-D", "-f", ...injection(call, "signal=SIGKILL")];

/** From now on such calls fail. */
export const failAt = (pid: number, call: Pick<Call, "name" | "path">, error: string): Promise<Tracer> =>
  trace(
    pid,
    injection({ ...call, nth: 1 }, `error=${error}`).map((option) => option.replace(":when=1", ":when=1+")),
  );
