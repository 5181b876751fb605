import { FFIType } from "bun:ffi";
import { readFileSync } from "node:fs";
import { openLibc } from "./libc.ts";

/**
 * Lets go of the program's own code that only the boot needed: most of what a small idle daemon
 * holds resident. It stays in the page cache, and what is used again comes back from there by
 * itself, page by page.
 */

/** MADV_DONTNEED of linux/mman.h: for code, which is never written, it only unmaps. */
const DONT_NEED = 4;

export interface Mapping {
  start: bigint;
  length: bigint;
}

/** The executable, never writable mappings of `program` in the text of /proc/self/maps. */
export const codeMappings = (maps: string, program: string): Mapping[] =>
  maps.split("\n").flatMap((line): Mapping[] => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \d+\s+(.*)$/.exec(line);
    if (match === null || match[3] !== program) return [];
    const start = BigInt(`0x${match[1]}`);
    return [{ start, length: BigInt(`0x${match[2]}`) - start }];
  });

/** Linux only; elsewhere, and where the system refuses, nothing happens. */
export const releaseBootCode = (): void => {
  if (process.platform !== "linux") return;
  const libc = openLibc({ madvise: { args: [FFIType.u64, FFIType.u64, FFIType.i32], returns: FFIType.i32 } });
  if (libc === null) return;
  for (const { start, length } of codeMappings(readFileSync("/proc/self/maps", "utf8"), process.execPath)) {
    libc.madvise(start, length, DONT_NEED);
  }
};
