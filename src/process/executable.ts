import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { meaningOf } from "../common/system-error.ts";
import { type ExecutableFormat, formatOf } from "./executable-format.ts";
import { type PathProblem, pathProblem } from "./path-problem.ts";

/** Where a program is, and why one that is there cannot run: in words, with what to do. */

type Environment = Readonly<Record<string, string | undefined>>;

export type FoundProgram = { path: string } | { problem: PathProblem };

const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";
const HEAD_BYTES = 4096;
/** Of scripts that run scripts; Linux has the same limit. */
const MAX_INTERPRETERS = 4;

const wrong = (text: string): PathProblem => ({ missing: false, text });

/** Null where it may not be read: it may run all the same. */
const formatAt = (path: string): ExecutableFormat | null => {
  let fd: number | null = null;
  try {
    fd = openSync(path, "r");
    const bytes = new Uint8Array(HEAD_BYTES);
    return formatOf(bytes.subarray(0, readSync(fd, bytes, 0, HEAD_BYTES, 0)));
  } catch {
    return null;
  } finally {
    if (fd !== null) closeSync(fd);
  }
};

/** A script names what runs it, and that must be there. */
const scriptProblem = (path: string, env: Environment, depth: number): PathProblem | null => {
  const format = formatAt(path);
  if (format?.type !== "script") return null;
  if (depth > MAX_INTERPRETERS) return wrong(`'${path}' is a script for a script for a script …`);
  const { interpreter, argument } = format;
  if (`${interpreter}${argument}`.endsWith("\r")) {
    return wrong(
      `'${path}' has Windows line ends (CRLF), so its first line names no program: sed -i 's/\\r$//' '${path}'`,
    );
  }
  // `env -S name …` and `env VAR=value name` are left to env.
  const name = basename(interpreter) === "env" ? argument.trim() : interpreter;
  if (!/^[^\s=-][^\s=]*$/.test(name)) return null;
  const found = findAt(name, env, depth + 1);
  return "path" in found ? null : wrong(`'${path}' is a script for '${name}', which cannot run: ${found.problem.text}`);
};

const accessProblem = (path: string): PathProblem | null => {
  try {
    accessSync(path, constants.X_OK);
    return null;
  } catch {
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o111) === 0) return wrong(`'${path}' is not executable: chmod +x '${path}'`);
    return wrong(
      `'${path}' may not be run by the daemon's user: look at its owner and mode (${mode.toString(8)}), and at whether its file system is mounted noexec`,
    );
  }
};

const problemAt = (path: string, env: Environment, depth: number): PathProblem | null => {
  const problem = pathProblem(path);
  if (problem?.isFolder) return { ...problem, text: `'${path}' is a folder: name the program in it` };
  return problem ?? accessProblem(path) ?? scriptProblem(path, env, depth);
};

/**
 * @param program a path, taken from the daemon's folder on, or a name that is looked up on PATH
 * @returns the absolute path of one that can run, as far as can be told before it does
 */
export const findProgram = (program: string, env: Environment): FoundProgram => findAt(program, env, 0);

const findAt = (program: string, env: Environment, depth: number): FoundProgram => {
  if (program.includes("/")) {
    const path = resolve(program);
    const problem = problemAt(path, env, depth);
    return problem === null ? { path } : { problem };
  }
  const folders = env.PATH ?? DEFAULT_PATH;
  let first: PathProblem | null = null;
  const closed = new Set<string>();
  // An empty part would be the daemon's folder, whose files are no programs.
  for (const folder of folders.split(":").filter((part) => part !== "")) {
    const path = resolve(folder, program);
    const problem = problemAt(path, env, depth);
    if (problem === null) return { path };
    if (problem.closed !== undefined) closed.add(problem.closed);
    else if (!problem.missing && !problem.isFolder) first ??= problem;
  }
  const unseen =
    closed.size === 0 ? "" : ` that the daemon's user may enter, which is not '${[...closed].join("', '")}'`;
  return { problem: first ?? { missing: true, text: `no '${program}' in any folder of PATH (${folders})${unseen}` } };
};

/** What to say of a format that this system does not usually run; binfmt_misc may run it all the same. */
export const formatDoubt = (path: string): string | null => {
  const own = formatAt(process.execPath);
  const format = formatAt(path);
  // On macOS programs have another format, of which nothing is known here.
  if (own?.type !== "elf" || format === null) return null;
  switch (format.type) {
    case "script":
      return null;
    case "empty":
      return `'${path}' is empty`;
    case "unknown":
      return `'${path}' is neither a program of this system nor a script that begins with '#!'`;
    case "elf":
      if (format.machine !== own.machine) {
        return `'${path}' is built for ${format.machine}, and this machine is ${own.machine}: get the build for it`;
      }
      if (format.loader === null || pathProblem(format.loader) === null) return null;
      return `'${path}' needs '${format.loader}', which is not there: it is built for another system (Alpine, NixOS, …)`;
  }
};

/** Codes with which the system refuses a program for good. */
const LASTING = ["ENOEXEC", "ENOENT", "EACCES", "EPERM", "ELIBBAD", "EINVAL", "E2BIG"];

const MEANINGS: Readonly<Record<string, string>> = {
  E2BIG: "the daemon's environment is too long",
  ETXTBSY: "the program is being written at this moment",
  EAGAIN: "too many processes run: look at the limits (ulimit -u, TasksMax of the service, pids of the container)",
};

export interface SpawnProblem {
  text: string;
  /** Whether another attempt would meet it again. */
  lasting: boolean;
}

/** Why the system did not start a program that {@link findProgram} had found; null for an error that is not the system's. */
export const spawnProblem = (path: string, code: string | undefined): SpawnProblem | null => {
  if (code === undefined) return null;
  const lasting = LASTING.includes(code);
  const meaning = MEANINGS[code] ?? (lasting ? formatDoubt(path) : meaningOf(code, `'${path}'`));
  return { text: meaning ?? `the system does not run '${path}' (${code}): it may be damaged`, lasting };
};
