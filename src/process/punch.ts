import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

/**
 * Gives the blocks at the head of a file back while a process goes on appending to it: every
 * offset stays true, which truncating would not keep.
 */

/** FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE of linux/falloc.h. */
const KEEP_SIZE_PUNCH_HOLE = 3;
/** F_PUNCHHOLE of macOS' sys/fcntl.h. */
const F_PUNCHHOLE = 99;
const BLOCK = 4096;

type Punch = (fd: number, length: number) => boolean;

const { i32, i64, u64, ptr: pointer } = FFIType;

const linux = (): Punch => {
  const libc = openLibc({ fallocate: { args: [i32, i32, i64, i64], returns: i32 } });
  return (fd, length) => libc !== null && libc.fallocate(fd, KEEP_SIZE_PUNCH_HOLE, 0, length) === 0;
};

const macos = (): Punch => {
  // fcntl is variadic: on arm64 macOS the third argument is taken from the stack, which the six
  // fillers reach by using up the registers; on x64 it is the third register, the first filler.
  const libc = openLibc({ fcntl: { args: [i32, i32, pointer, u64, u64, u64, u64, u64, pointer], returns: i32 } });
  return (fd, length) => {
    const request = Buffer.alloc(24);
    request.writeBigInt64LE(BigInt(length), 16);
    const address = ptr(request);
    return libc !== null && libc.fcntl(fd, F_PUNCHHOLE, address, 0n, 0n, 0n, 0n, 0n, address) === 0;
  };
};

let punch: Punch | undefined;

/** Frees the first `length` bytes of an open file, rounded down to whole blocks. False where the system cannot. */
export const punchHead = (fd: number, length: number): boolean => {
  const whole = Math.floor(length / BLOCK) * BLOCK;
  if (whole === 0) return true;
  punch ??= process.platform === "linux" ? linux() : process.platform === "darwin" ? macos() : () => false;
  return punch(fd, whole);
};
