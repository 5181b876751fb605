import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { usageError } from "./errors.ts";

/** A text that a person wrote, which is UTF-8. @param name file, or what it is called. @throws usage error with the place */
export const textOf = (bytes: Uint8Array, name: string): string => {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    throw usageError(`${name}:${error.line}:${error.column}: ${error.message}`);
  }
};
