import { z } from "zod";
import { custom, type Field, integer, optional, withDefault } from "../fields.ts";

/** Fields that every backend has, and kinds of field that several have. */

export const MAX_INT = 2_147_483_647;

/** A control character in an alias, a host or a path would end up in argv, file names and terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;

const plainText = (max: number) =>
  z
    .string({ error: "Input should be a string" })
    .min(1, "Input should not be empty")
    .max(max, `Input should have at most ${max} characters`)
    .refine((value) => !CONTROL.test(value), "Input should not contain control characters");

const noFlag = (schema: z.ZodString): z.ZodString =>
  schema.refine((value) => !value.startsWith("-"), "Input should not start with '-'");

const withoutEdges = <S extends z.ZodType>(schema: S): Field<S> => ({
  ...custom(schema),
  refusal: (value) =>
    typeof value === "string" && value.trim() !== value ? "Input should not begin or end with a blank" : null,
});

/** The path of a file. */
export const file = (description: string): Field<z.ZodString> => ({
  ...withoutEdges(plainText(4096).meta({ description })),
  names: "file",
});

/** A model's id on the Hub, or the path of its folder. */
export const model = (description: string): Field<z.ZodString> => ({
  ...withoutEdges(noFlag(plainText(4096)).meta({ description })),
  names: "model",
});

export const alias = withoutEdges(
  noFlag(plainText(256)).meta({ description: "Model alias used for routing, for example llama-3:8b" }),
);

const host = custom(
  z
    .string({ error: "Input should be a string" })
    // No URL can name a zone, so neither a client nor the health check would reach it.
    .regex(/^(?!-)[A-Za-z0-9._:-]{1,253}$/, "Input should be an IP address, without a zone, or a host name")
    // llama-server would listen on a Unix socket of that name.
    .refine((value) => !/\.sock$/i.test(value), "Input should not end with '.sock': that names a Unix socket")
    .meta({ description: "Address to bind to" }),
);

/** An HTTP header carries the key, so it is printable ASCII. */
const apiKey = custom(
  z
    .string({ error: "Input should be a string" })
    .min(1, "Input should not be empty")
    .max(1024, "Input should have at most 1024 characters")
    .regex(/^[\x20-\x7e]*$/, "Input should be printable ASCII: an HTTP header carries it")
    .refine((key) => key.trim() === key, "Input should not begin or end with a space: an HTTP header loses it")
    .meta({ description: "API key of this instance" }),
);

const port = optional(integer("Port; the next free one from START_PORT when unset", 1, 65_535));

const priority = withDefault(
  integer("With MAX_PARALLEL_STARTS, which instance starts first: the higher one", -1000, 1000),
  0,
);

/** Behind a backend's own fields. */
export const instanceFields = { host: withDefault(host, "0.0.0.0"), port, api_key: apiKey, priority } as const;

export const backendType = <const T extends string>(name: T) =>
  custom(z.enum([name], { error: `Input should be '${name}'` }).meta({ description: "Backend type identifier" }));

export type CommonFields = { backend_type: Field; alias: typeof alias } & typeof instanceFields;

/** Behind the own fields of an example. */
export const exampleFields = { host: "0.0.0.0", port: null, api_key: "instance-key", priority: 0 };
