import { readFileSync, type Stats, statSync } from "node:fs";

/** Files that a person may have put something else in the place of: a pipe never ends, nor does a device. */

const kindOf = (stat: Stats): string => {
  if (stat.isDirectory()) return "a folder";
  if (stat.isFIFO()) return "a named pipe (FIFO)";
  return stat.isSocket() ? "a socket" : "a device";
};

/** What stands at a path, or where its link leads, instead of a file; null where that is a file, or nothing. */
export const whyNoFile = (path: string): string | null => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined || stat.isFile() ? null : `'${path}' is ${kindOf(stat)} and no file`;
};

/** What a file holds. @throws in words where something else stands there, and what the system throws */
export const readRegularFile = (path: string): Buffer => {
  const problem = whyNoFile(path);
  if (problem !== null) throw new Error(problem);
  return readFileSync(path);
};
