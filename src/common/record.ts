/** An object as JSON has it. Alone in this file, so that its callers need not load the schemas. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
