import { z } from "zod";

/** Every error of the API is `{detail}`: a sentence, or a list of fields that are wrong. */

export const errorDetail = z.object({ detail: z.string() }).meta({ id: "Error" });

export const fieldError = z
  .object({
    type: z.string().meta({ description: "What is wrong, as a word for programs" }),
    loc: z.array(z.union([z.string(), z.int()])).meta({ description: "Where: body, query or path, then the field" }),
    msg: z.string(),
    input: z.unknown().meta({ description: "The offending value; null where it is a secret or absent" }),
  })
  .meta({ id: "FieldError" });
export type FieldError = z.output<typeof fieldError>;

export const validationError = z.object({ detail: z.array(fieldError) }).meta({ id: "ValidationError" });

const secretField = (name: string | number | undefined): boolean =>
  typeof name === "string" && /key|secret|token$/i.test(name);

/** As pydantic calls a value that is too small or too large, by what is counted of it. */
const boundTypes: Record<string, Record<"too_small" | "too_big", string>> = {
  string: { too_small: "string_too_short", too_big: "string_too_long" },
  array: { too_small: "too_short", too_big: "too_long" },
};

const typeOf = (issue: z.core.$ZodIssue, missing: boolean): string => {
  if (missing) return "missing";
  switch (issue.code) {
    case "invalid_type":
      return `${issue.expected}_type`;
    case "too_big":
      return boundTypes[issue.origin]?.too_big ?? "less_than_equal";
    case "too_small":
      return boundTypes[issue.origin]?.too_small ?? "greater_than_equal";
    case "invalid_value":
      return "literal_error";
    case "invalid_format":
      return "string_pattern_mismatch";
    default:
      return "value_error";
  }
};

/**
 * One issue of zod as the API words it. The value of a secret is never repeated, and a missing
 * field shows no input: what is around it may hold a secret.
 */
export const toFieldError = (loc: (string | number)[], issue: z.core.$ZodIssue, input: unknown): FieldError => {
  const missing = input === undefined || (input === null && issue.code === "invalid_type");
  // A config that a client encoded twice is a string with the key in it.
  const whole = loc.at(-1) === "config";
  const hidden = missing || whole || loc.some(secretField) || (typeof input === "object" && input !== null);
  return {
    type: typeOf(issue, missing),
    loc,
    msg: missing ? "Field required" : issue.message,
    input: hidden ? null : input,
  };
};
