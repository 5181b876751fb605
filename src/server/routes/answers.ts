import type { z } from "@hono/zod-openapi";
import { errorDetail, validationError } from "../../contract/index.ts";
import { exampleFieldError } from "../examples.ts";

/** Parts of route descriptions that several routes share. */

export const jsonAnswer = <S extends z.ZodType>(schema: S, description: string, example: unknown) => ({
  description,
  content: { "application/json": { schema, example } },
});

export const errorAnswer = (description: string, detail: string) => jsonAnswer(errorDetail, description, { detail });

export const notFound = errorAnswer("No instance has this id", "Instance not found");

export const invalid = jsonAnswer(validationError, "Names each field that is wrong", exampleFieldError);

export const notSaved = errorAnswer(
  "The configuration could not be saved; nothing was changed",
  "Cannot save the configuration: no space is left on the disk that holds '/srv/solar-host/config.json': make room there",
);

export const shuttingDown = errorAnswer("The daemon is ending", "The daemon is shutting down");

export const unreadable = errorAnswer(
  "The log is there but cannot be read now; nothing of it is lost",
  "Cannot read the log: too many files are open: raise the limit of open files (ulimit -n, or LimitNOFILE= in the systemd unit)",
);

export const tooLarge = errorAnswer("The body is larger than 1 MiB", "Request body is larger than 1 MiB");
