import type { z } from "@hono/zod-openapi";
import { errorDetail, validationError } from "../../contract/index.ts";
import { exampleFieldError } from "../examples.ts";

/** Parts of route descriptions that several routes share. */

export const jsonAnswer = <S extends z.ZodType>(schema: S, description: string, example: unknown) => ({
  description,
  content: { "application/json": { schema, example } },
});

export const errorAnswer = (description: string, detail: string) => jsonAnswer(errorDetail, description, { detail });

/** Of a daemon without a key; before any route, the open ones too. */
const foreign = errorAnswer(
  "The daemon has no key, and the Origin or Host of the request is not this machine's own",
  "Without an API key, only this machine may ask",
);

/** Answers that any route behind the key may give. */
export const guarded = {
  401: errorAnswer("The key is missing or wrong", "Invalid or missing API key"),
  403: foreign,
} as const;

export const notFound = errorAnswer("No instance has this id", "Instance not found");

export const invalid = jsonAnswer(validationError, "Names each field that is wrong", exampleFieldError);

export const notSaved = errorAnswer(
  "The configuration could not be saved; nothing was changed",
  "Cannot save the configuration: ENOSPC: no space left on device",
);

export const shuttingDown = errorAnswer("The daemon is ending", "The daemon is shutting down");

export const unreadable = errorAnswer(
  "The log is there but cannot be read now; nothing of it is lost",
  "Cannot read the log: EMFILE: too many open files, open '/srv/solar-host/logs/llama-3_8b_1769860800.log'",
);

export const tooLarge = errorAnswer("The body is larger than 1 MiB", "Request body is larger than 1 MiB");

export const security = [{ ApiKey: [] }, { Bearer: [] }];
