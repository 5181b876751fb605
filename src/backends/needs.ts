import type { Fields } from "../contract/fields.ts";

/** What has to be there before a start. */

/** The start's error names the field, where else a log line would name the file. */
export interface RequiredFile {
  field: string;
  path: string;
}

export interface Needs {
  files: readonly RequiredFile[];
}

/** Each file that a field names. */
export const filesOf = (fields: Fields, config: Readonly<Record<string, unknown>>): RequiredFile[] =>
  Object.entries(fields).flatMap(([field, { names }]) => {
    const path = config[field];
    return names === "file" && typeof path === "string" ? [{ field, path }] : [];
  });
