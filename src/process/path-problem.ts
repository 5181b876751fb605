import { accessSync, constants, lstatSync, readlinkSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, systemProblem } from "../common/system-error.ts";

/** Why a path leads to no file, in words for a person. */
export interface PathProblem {
  /** Nothing is there at all; else something is, and is wrong. */
  missing: boolean;
  isFolder?: boolean;
  /** The folder on the way that may not be entered: what is in it is not known. */
  closed?: string;
  text: string;
}

/** The outermost folder on the way to a path that this process may not enter. */
const closedFolder = (path: string): string | null => {
  const parent = dirname(path);
  const outer = parent === path ? null : closedFolder(parent);
  if (outer !== null) return outer;
  try {
    accessSync(parent, constants.X_OK);
    return null;
  } catch (error) {
    return errorCode(error) === "EACCES" ? parent : null;
  }
};

const brokenLink = (path: string): PathProblem | null => {
  try {
    if (!lstatSync(path).isSymbolicLink()) return null;
    return { missing: false, text: `'${path}' is a link to '${readlinkSync(path)}', which is not there` };
  } catch {
    return null;
  }
};

/** @param path absolute. Null where it leads to a regular file */
export const pathProblem = (path: string): PathProblem | null => {
  const wrong = (text: string): PathProblem => ({ missing: false, text });
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return brokenLink(path) ?? { missing: true, text: `no such file: '${path}'` };
    if (stat.isFile()) return null;
    return { ...wrong(`not a file: '${path}'`), isFolder: stat.isDirectory() };
  } catch (error) {
    const code = errorCode(error);
    if (code === "EACCES") {
      const folder = closedFolder(path) ?? dirname(path);
      return {
        ...wrong(`'${path}' cannot be reached: the folder '${folder}' may not be entered by the daemon's user`),
        closed: folder,
      };
    }
    if (code === "ENOTDIR") return { missing: true, text: `no such file: '${path}'` };
    return wrong(systemProblem(error, path));
  }
};
