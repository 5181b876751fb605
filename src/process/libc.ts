import { dlopen, type FFIFunction } from "bun:ffi";

/** The system's C library, under the names that it has on the systems we run on. */
const NAMES =
  process.platform === "darwin"
    ? ["libSystem.B.dylib"]
    : ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/** Its functions, or null where none of the names is there or one of the functions is not. */
export const openLibc = <const F extends Record<string, FFIFunction>>(functions: F) => {
  for (const name of NAMES) {
    try {
      return dlopen(name, functions).symbols;
    } catch {
      // The next name, then none.
    }
  }
  return null;
};
