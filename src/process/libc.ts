import { dlopen, type FFIFunction } from "bun:ffi";

/**
 * The system's C library. Our binaries are made for these two alone; to try further names would be
 * unsafe, since a library that the loader does not find is looked for in the working directory.
 */
const NAME = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";

/** Its functions, or null where it has not all of them. */
export const openLibc = <const F extends Record<string, FFIFunction>>(functions: F) => {
  try {
    return dlopen(NAME, functions).symbols;
  } catch {
    return null;
  }
};
