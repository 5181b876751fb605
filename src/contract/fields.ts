import { z } from "zod";

/**
 * The kinds of field that a config is made of. Each takes what clients really send: the web UI
 * sends `""` for what is unset, forms send numbers and booleans as strings.
 */

export const isBlank = (value: unknown): boolean => value === undefined || value === null || value === "";

const toNumber = (value: unknown): unknown => {
  if (typeof value !== "string") return value;
  const decimal = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(value);
  return decimal ? Number(value) : value;
};

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...["true", "1", "yes", "on", "t", "y"].map((word) => [word, true] as const),
  ...["false", "0", "no", "off", "f", "n"].map((word) => [word, false] as const),
]);

/** The words for yes and no, and the numbers 1 and 0, that pydantic takes. */
const toBoolean = (value: unknown): unknown => {
  if (typeof value !== "string" && typeof value !== "number") return value;
  return booleans.get(String(value).trim().toLowerCase()) ?? value;
};

const asIs = (value: unknown): unknown => value;

type Coercion = (value: unknown) => unknown;

/** What a field is before it is put into a request schema or an answer schema. */
export interface Field<S extends z.ZodType = z.ZodType> {
  schema: S;
  coerce: Coercion;
  /** What the text names: a file, which has to be there at a start; or a model, by its id on a hub or its folder. */
  names?: "file" | "model";
  /**
   * Why a request may not ask for a value, though a stored config with it goes on loading: it was taken once and can
   * never work, or does not mean what it seems to. Null where it may.
   */
  refusal?: (value: unknown) => string | null;
}

export interface DefaultField<S extends z.ZodType = z.ZodType> extends Field<S> {
  fallback: z.output<S>;
}

export interface OptionalField<S extends z.ZodType = z.ZodType> extends Field<S> {
  optional: true;
}

type AnyField = Field | DefaultField | OptionalField;
export type Fields = Record<string, AnyField>;

export const text = (description: string): Field<z.ZodString> => ({
  schema: z.string({ error: "Input should be a string" }).min(1, "Input should not be empty").meta({ description }),
  coerce: asIs,
});

export const integer = (description: string, min: number, max: number): Field<z.ZodNumber> => ({
  schema: z
    .number({ error: "Input should be a whole number" })
    .int("Input should be a whole number")
    .min(min, `Input should be greater than or equal to ${min}`)
    .max(max, `Input should be less than or equal to ${max}`)
    .meta({ description }),
  coerce: toNumber,
});

export const number = (description: string, min: number, max: number): Field<z.ZodNumber> => ({
  schema: z
    .number({ error: "Input should be a number" })
    .min(min, `Input should be greater than or equal to ${min}`)
    .max(max, `Input should be less than or equal to ${max}`)
    .meta({ description }),
  coerce: toNumber,
});

export const flag = (description: string): Field<z.ZodBoolean> => ({
  schema: z.boolean({ error: "Input should be true or false" }).meta({ description }),
  coerce: toBoolean,
});

export const choice = <const T extends readonly [string, ...string[]]>(
  description: string,
  values: T,
): Field<z.ZodEnum<{ [K in T[number]]: K }>> => ({
  schema: z
    .enum(values, { error: `Input should be ${values.map((value) => `'${value}'`).join(", ")}` })
    .meta({ description }),
  coerce: asIs,
});

export const custom = <S extends z.ZodType>(schema: S): Field<S> => ({ schema, coerce: asIs });

/** The field may be absent, `""` or null, and is `fallback` then. */
export const withDefault = <S extends z.ZodType>(field: Field<S>, fallback: z.output<S>): DefaultField<S> => ({
  ...field,
  fallback,
});

/** The field may be absent, `""` or null, and is null then. */
export const optional = <S extends z.ZodType>(field: Field<S>): OptionalField<S> => ({ ...field, optional: true });

type RequestSchema<F extends AnyField> =
  F extends DefaultField<infer S>
    ? z.ZodPipe<z.ZodTransform, z.ZodDefault<S>>
    : F extends OptionalField<infer S>
      ? z.ZodPipe<z.ZodTransform, z.ZodDefault<z.ZodNullable<S>>>
      : F extends Field<infer S>
        ? z.ZodPipe<z.ZodTransform, S>
        : never;

type RequestShape<F extends Fields> = { [K in keyof F]: RequestSchema<F[K]> };

const requestField = (field: AnyField): z.ZodType => {
  const coerce = (value: unknown): unknown => (isBlank(value) ? undefined : field.coerce(value));
  if ("fallback" in field) return z.preprocess(coerce, (field.schema as z.ZodType).default(field.fallback));
  if ("optional" in field) return z.preprocess(coerce, (field.schema as z.ZodType).nullable().default(null));
  // A required string may be "": its own rule says so more clearly than "required" would.
  return z.preprocess((value) => (value === null ? undefined : field.coerce(value)), field.schema);
};

/** The schema of a whole config: every field present in its output, defaults filled in. Unknown keys are dropped. */
export const requestSchema = <F extends Fields>(fields: F): z.ZodObject<RequestShape<F>> =>
  z.object(
    Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, requestField(field)])),
  ) as unknown as z.ZodObject<RequestShape<F>>;

type AnswerSchema<F extends AnyField> =
  F extends OptionalField<infer S> ? z.ZodNullable<S> : F extends Field<infer S> ? S : never;

type AnswerShape<F extends Fields> = { [K in keyof F]: AnswerSchema<F[K]> };

/** The schema of a whole config as the API answers with it: every field there, null where it is unset. */
export const answerSchema = <F extends Fields>(fields: F): z.ZodObject<AnswerShape<F>> =>
  z.object(
    Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        name,
        "optional" in field ? (field.schema as z.ZodType).nullable() : field.schema,
      ]),
    ),
  ) as unknown as z.ZodObject<AnswerShape<F>>;
