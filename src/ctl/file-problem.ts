import { constants } from "node:os";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { usageError } from "./errors.ts";

/** Files of people: what is wrong with one, in words. */

/** Why a file cannot be read or written, in words; what the system calls it is of no use to a person. */
export const fileProblem = (error: unknown): string => {
  const { code = "unknown" } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return "it is not there";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of its path is no folder";
    case "EACCES":
    case "EPERM":
      return "you may not do that";
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full";
    case "EROFS":
      return "the disk is read-only";
    case "ENAMETOOLONG":
      return "its name is too long";
    case "ELOOP":
      return "its links lead in a circle";
    case "EIO":
      return "the disk does not answer rightly";
    case "EMFILE":
    case "ENFILE":
      return "too many files are open";
    default:
      return `the system says ${code}`;
  }
};

/** A sentence of elsewhere in which the system's own words stand: `ENOSPC: no space left on device, write`. */
export const withoutErrno = (text: string): string =>
  text.replace(
    /\b(E[A-Z][A-Z0-9]+): [a-z][^,:\n]*(?:, [a-z0-9]+(?: ('[^'\n]*'))?)?/g,
    (whole: string, code: string, path: string | undefined) =>
      Object.hasOwn(constants.errno, code) ? `${path === undefined ? "" : `${path}: `}${fileProblem({ code })}` : whole,
  );

/** A text that a person wrote, which is UTF-8. @param name file, or what it is called. @throws usage error with the place */
export const textOf = (bytes: Uint8Array, name: string): string => {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    throw usageError(`${name}:${error.line}:${error.column}: ${error.message}`);
  }
};
