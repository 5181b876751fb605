import type { FieldError } from "./errors.ts";

/**
 * What a request may not ask for, though a stored config with it goes on loading: values that were taken once and can
 * never work, or do not mean what they seem to.
 */

const isEdged = (value: unknown): value is string => typeof value === "string" && value.trim() !== value;

const EDGED = "Input should not begin or end with a blank";

const rules: Readonly<Record<string, (value: unknown) => string | null>> = {
  threads: (value) =>
    Number(value) === 0 && value !== "" ? "Input should be at least 1, or -1 for llama-server's own choice" : null,
  alias: (value) => (isEdged(value) ? EDGED : null),
  model: (value) => (isEdged(value) ? EDGED : null),
  model_id: (value) => (isEdged(value) ? EDGED : null),
  chat_template_file: (value) => (isEdged(value) && value.trim() !== "" ? EDGED : null),
};

/** Each field that is wrong by these rules, of a config that is valid otherwise. @param given the fields of the request */
export const brokenRules = (given: Readonly<Record<string, unknown>>): FieldError[] =>
  Object.entries(rules).flatMap(([name, rule]) => {
    const value = given[name];
    const msg = value === undefined || value === null ? null : rule(value);
    return msg === null ? [] : [{ type: "value_error", loc: ["body", "config", name], msg, input: value }];
  });
