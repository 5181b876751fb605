import { z } from "@hono/zod-openapi";
import { parseTimestamp } from "../../common/time.ts";
import { exampleInstance } from "../examples.ts";

/** Parameters of a path or a query: text, also where it stands for something else. */

export const idParam = z.object({
  id: z.string().meta({ description: "Id of the instance", example: exampleInstance.id }),
});

interface Bounds {
  min: number;
  /** No bound worth naming where it is absent. */
  max?: number;
}

const rangeOf = ({ min, max }: Bounds): string => (max === undefined ? `of ${min} or more` : `from ${min} to ${max}`);

/** Of a name that is there twice, neither value is taken for the one that was meant. */
const once = () => z.string({ error: "Input should be given once" });

const numeric = (kind: "integer" | "number", pattern: RegExp, bounds: Bounds, description: string) =>
  once()
    .transform((text, context) => {
      const value = Number(text);
      const { min, max = Number.MAX_SAFE_INTEGER } = bounds;
      if (pattern.test(text) && value >= min && value <= max) return value;
      const name = kind === "integer" ? "a whole number" : "a number";
      context.addIssue({ code: "custom", message: `Input should be ${name} ${rangeOf(bounds)}` });
      return z.NEVER;
    })
    .optional()
    .openapi({
      type: kind,
      minimum: bounds.min,
      ...(bounds.max === undefined ? {} : { maximum: bounds.max }),
      description,
    });

export const whole = (bounds: Bounds, description: string) => numeric("integer", /^-?\d+$/, bounds, description);

export const decimal = (bounds: Bounds, description: string) =>
  numeric("number", /^-?\d+(\.\d+)?$/, bounds, description);

/** Yes or no; absent is no. */
export const yesNo = (description: string) =>
  once()
    .transform((text, context) => {
      if (text === "true" || text === "1") return true;
      if (text === "false" || text === "0") return false;
      context.addIssue({ code: "custom", message: "Input should be true or false" });
      return z.NEVER;
    })
    .optional()
    .openapi({ type: "boolean", description });

/** Milliseconds since 1970. */
export const timestamp = (description: string) =>
  once()
    .transform((text, context) => {
      const time = parseTimestamp(text);
      if (time !== null) return time;
      context.addIssue({ code: "custom", message: "Input should be an ISO 8601 time" });
      return z.NEVER;
    })
    .optional()
    .openapi({ type: "string", format: "date-time", description });
