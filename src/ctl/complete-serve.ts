import type { Candidate } from "./complete.ts";

/** Completion behind `serve`: its flags are the daemon's own, which the client knows from what it says of itself. */

interface Flag extends Candidate {
  /** What it takes, as the help shows it; empty for nothing. */
  takes: string;
}

/** What the values of the others are named after: a path. */
const PATHS = /^(?:file|dir|server|python|cert|key|ca)$/;

const flags = (): Flag[] => {
  const help = Bun.spawnSync([process.execPath, "serve", "--help"], { stdin: "ignore", stderr: "ignore" });
  const lines = help.stdout.toString().matchAll(/^ {2}(?:-\w, )?(--[\w-]+)(?: [<[](\S+)[>\]])? +(.*)$/gm);
  return [...lines].map(([, value = "", takes = "", description = ""]) => ({ value, takes, description }));
};

const valuesOf = ({ takes }: Flag): Candidate[] | "files" => {
  if (PATHS.test(takes)) return "files";
  return takes.includes("|") ? takes.split("|").map((value) => ({ value })) : [];
};

/** @param before the words behind `serve` that are whole */
export const serveCandidates = (before: readonly string[], begun: string): Candidate[] | "files" => {
  const all = flags();
  const [, named, isGiven] = /^(--[\w-]+)(=)/.exec(begun) ?? [];
  const last = all.find(({ value }) => value === (isGiven ? named : before.at(-1)));
  const values = last === undefined ? [] : valuesOf(last);
  if (isGiven && values !== "files") return values.map(({ value }) => ({ value: `${named}=${value}` }));
  if (isGiven) return values;
  // One that means yes when it stands alone may be followed by the next flag.
  const isOptional = last?.takes === "true|false";
  if (last !== undefined && last.takes !== "" && !(isOptional && begun.startsWith("-"))) return values;
  return begun.startsWith("-") ? all : [];
};
