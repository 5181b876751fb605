/** What the first bytes of a program say of how it is run. Pure. */

export type ExecutableFormat =
  /** `interpreter` is what the system runs it with, and `argument` the rest of that line, as the system reads it. */
  | { type: "script"; interpreter: string; argument: string }
  /** `loader` is null where it needs none, or where the bytes do not reach that far. */
  | { type: "elf"; machine: string; loader: string | null }
  | { type: "empty" }
  | { type: "unknown" };

const MACHINES: Readonly<Record<number, string>> = {
  3: "x86 (32 bit)",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC (64 bit)",
  22: "s390",
  40: "ARM (32 bit)",
  62: "x86-64",
  183: "ARM64",
  243: "RISC-V",
  258: "LoongArch",
};

const PT_INTERP = 3;

/** Offset and length of the loader's name, from the program headers; null where there is none. */
const loaderOf = (view: DataView, little: boolean, wide: boolean): [offset: number, size: number] | null => {
  const word = (at: number): number => (wide ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const [start, size, count] = wide
    ? [word(32), view.getUint16(54, little), view.getUint16(56, little)]
    : [word(28), view.getUint16(42, little), view.getUint16(44, little)];
  for (let n = 0; n < count; n++) {
    const at = start + n * size;
    if (view.getUint32(at, little) !== PT_INTERP) continue;
    return wide ? [word(at + 8), word(at + 32)] : [word(at + 4), word(at + 16)];
  }
  return null;
};

const elf = (bytes: Uint8Array): ExecutableFormat => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const wide = bytes[4] === 2;
    const little = bytes[5] === 1;
    const number = view.getUint16(18, little);
    const machine = MACHINES[number] ?? `processor type ${number}`;
    const place = loaderOf(view, little, wide);
    const end = place === null ? 0 : place[0] + place[1] - 1;
    const loader = place === null || end > bytes.length ? null : bytes.subarray(place[0], end);
    return { type: "elf", machine, loader: loader === null ? null : Buffer.from(loader).toString("latin1") };
  } catch {
    // Shorter than its own headers say.
    return { type: "unknown" };
  }
};

/** @param bytes the first kilobytes of the file */
export const formatOf = (bytes: Uint8Array): ExecutableFormat => {
  if (bytes.length === 0) return { type: "empty" };
  const text = Buffer.from(bytes.subarray(0, 256)).toString("latin1");
  if (text.startsWith("\u007fELF")) return elf(bytes);
  const line = /^#![ \t]*([^ \t\n]+)[ \t]*([^\n]*)/.exec(text);
  return line === null ? { type: "unknown" } : { type: "script", interpreter: line[1] ?? "", argument: line[2] ?? "" };
};
