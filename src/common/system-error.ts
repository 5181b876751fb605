/** What the system refuses, in plain words. */

/** `ENOENT` and the like; undefined for what is no system error. */
export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/** Whether the error says that a file is not there. Any other error may be a passing one. */
export const isMissing = (error: unknown): boolean => errorCode(error) === "ENOENT";

const isFolder = (path: string): string => `${path} is a folder and no file`;
const noPermission = (path: string): string =>
  `this user has no permission for ${path}: change its owner or mode, or those of its folder`;
/** Of what a file's owner may do, so that the mode is not all that may be wrong. */
const notAllowed = (path: string): string =>
  `${noPermission(path)}; where these are right, it may be immutable: lsattr shows that, and chattr -i ends it`;
const silent = (path: string): string => `the file system that holds ${path} does not answer: mount it again`;

/** Too many files are open, by this process or on the whole machine: the next open fails too. */
export const isLackOfFiles = (code: string): boolean => code === "EMFILE" || code === "ENFILE";

/** What each code says of a path, and what would help. */
const meanings: Readonly<Record<string, (path: string) => string>> = {
  ENOENT: (path) => `${path} is not there`,
  EACCES: noPermission,
  EPERM: notAllowed,
  EROFS: (path) => `${path} is on a file system that is mounted read-only`,
  ENOSPC: (path) => `no space is left on the disk that holds ${path}: make room there`,
  EDQUOT: (path) => `this user's quota of the disk that holds ${path} is used up: make room there`,
  EFBIG: (path) => `${path} would be larger than a file may be (ulimit -f)`,
  EIO: (path) => `the disk that holds ${path} fails: the kernel's log (dmesg) tells more`,
  ENOTDIR: (path) => `a part of the path ${path} is a file and no folder`,
  EISDIR: isFolder,
  // Of the runtime, where it is to remove a file.
  ERR_FS_EISDIR: isFolder,
  EEXIST: (path) => `${path} is there already`,
  ENOTEMPTY: (path) => `the folder ${path} is not empty`,
  EBUSY: (path) => `${path} is in use by the system: a mount of its own cannot be replaced, mount its folder instead`,
  EXDEV: (path) => `${path} is a mount of its own, which cannot be replaced: mount its folder instead`,
  ELOOP: (path) => `${path} is a link that leads in a circle`,
  ENAMETOOLONG: (path) => `${path} is longer than a name may be`,
  ESTALE: silent,
  ETIMEDOUT: silent,
  ENOTCONN: silent,
  EMFILE: () =>
    "too many files are open: raise the limit of open files (ulimit -n, or LimitNOFILE= in the systemd unit)",
  ENFILE: () => "too many files are open on this machine: end what opens so many, or raise fs.file-max",
  ENOMEM: () => "the machine has no memory left",
};

/** What a code means of `shown`, a path in quotes or other words for what was asked for; null for a rare code. */
export const meaningOf = (code: string, shown: string): string | null => meanings[code]?.(shown) ?? null;

/** A recursive mkdir met a file where a folder is to be. */
const isFileForFolder = (error: unknown): boolean =>
  errorCode(error) === "EEXIST" && (error as NodeJS.ErrnoException).syscall === "mkdir";

/**
 * Why the system refused, without its code and without a full stop at the end; of an error that is not the system's, its
 * message.
 * @param path what it was about, where the error has none or that of a temporary file beside
 */
export const systemProblem = (error: unknown, path?: string): string => {
  const code = isFileForFolder(error) ? "ENOTDIR" : errorCode(error);
  const named = path ?? (error as { path?: unknown } | null)?.path;
  if (code === undefined || error instanceof SystemError) return error instanceof Error ? error.message : String(error);
  const shown = typeof named === "string" ? `'${named}'` : "the file";
  return meaningOf(code, shown) ?? `the system refuses ${shown} (${code})`;
};

/** A refusal of the system that is told in words already. */
class SystemError extends Error {
  constructor(
    message: string,
    readonly code: string | undefined,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** A refusal of the system in words of the caller's, which {@link systemProblem} leaves as they are. */
export const refusal = (message: string, code: string | undefined): Error => new SystemError(message, code);

/** The same error, with words for its message; its code stays. */
export const inWords = (error: unknown, path?: string): Error =>
  error instanceof SystemError ? error : new SystemError(systemProblem(error, path), errorCode(error), error);
