/** Text files that a person writes are UTF-8: what is not is refused, and never read with other characters in its place. */

export class EncodingError extends Error {
  /** Both are counted from 1. */
  constructor(
    readonly line: number,
    readonly column: number,
    problem: string,
  ) {
    super(problem);
  }
}

const NEWLINE = 10;

const startsWith = (bytes: Uint8Array, ...start: number[]): boolean => start.every((byte, n) => bytes[n] === byte);

/** How many characters can be read before it stops being UTF-8; null where all can. */
const readableIn = (line: Uint8Array): number | null => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let read = 0;
  try {
    for (let n = 0; n < line.length; n++) read += decoder.decode(line.subarray(n, n + 1), { stream: true }).length;
    decoder.decode();
    return null;
  } catch {
    return read;
  }
};

const placeIn = (bytes: Uint8Array): EncodingError => {
  let line = 1;
  for (let start = 0; start <= bytes.length; line++) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline === -1 ? bytes.length : newline;
    const readable = readableIn(bytes.subarray(start, end));
    if (readable !== null) return new EncodingError(line, readable + 1, "not UTF-8; save the file as UTF-8");
    start = end + 1;
  }
  return new EncodingError(line, 1, "not UTF-8; save the file as UTF-8");
};

/**
 * The text of a file; a byte order mark is skipped.
 * @throws EncodingError
 */
export const decodeUtf8 = (bytes: Uint8Array): string => {
  if (startsWith(bytes, 0xff, 0xfe) || startsWith(bytes, 0xfe, 0xff)) {
    throw new EncodingError(1, 1, "UTF-16; save the file as UTF-8");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw placeIn(bytes);
  }
};
