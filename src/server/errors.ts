import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type FieldError, toFieldError } from "../contract/index.ts";
import { LogUnreadableError } from "../logs/unreadable.ts";
import {
  ConfigRefusedError,
  InstanceActiveError,
  InstanceNotFoundError,
  NotPrunedError,
  NotSavedError,
  OperationFailedError,
  OvertakenError,
  ShuttingDownError,
} from "../supervisor/errors.ts";
import { InvalidBodyError } from "./body.ts";

/** How errors look on the wire: `{detail}` and a status code, never a stack. */

const statusOf = (error: unknown): ContentfulStatusCode | null => {
  if (error instanceof InstanceNotFoundError) return 404;
  if (error instanceof InstanceActiveError) return 400;
  if (error instanceof OvertakenError || error instanceof ConfigRefusedError) return 409;
  if (error instanceof OperationFailedError || error instanceof NotSavedError || error instanceof NotPrunedError)
    return 500;
  if (error instanceof ShuttingDownError || error instanceof LogUnreadableError) return 503;
  if (error instanceof HTTPException) return error.status as ContentfulStatusCode;
  return null;
};

/** @param report told of an error that no route expects */
export const answerError = (c: Context, error: Error, report: (error: Error) => void): Response => {
  if (error instanceof InvalidBodyError) return c.json({ detail: error.fields }, 422);
  const status = statusOf(error);
  if (status !== null) return c.json({ detail: error.message }, status);
  report(error);
  return c.json({ detail: "Internal Server Error" }, 500);
};

interface Invalid {
  success: false;
  target: string;
  error: { issues: unknown[] };
}

/** The hook of every route's validation: 422 with each field that is wrong. */
export const answerInvalid = (result: { success: true } | Invalid, c: Context): Response | undefined => {
  if (result.success) return undefined;
  const place = result.target === "param" ? "path" : result.target === "json" ? "body" : result.target;
  const detail = result.error.issues.map((raw): FieldError => {
    const issue = raw as Parameters<typeof toFieldError>[1];
    const path = issue.path.map((key) => (typeof key === "number" ? key : String(key)));
    const name = String(path[0]);
    const [first, ...others] = c.req.queries(name) ?? [];
    const asked = others.length === 0 ? first : [first, ...others];
    const input = result.target === "query" ? asked : result.target === "param" ? c.req.param(name) : undefined;
    return toFieldError([place, ...path], issue, input);
  });
  return c.json({ detail }, 422);
};

/** Names the fault and where it happened. Its message may hold the URL, and that a key which should not be there. */
const withoutMessage = (fault: unknown): Error => {
  const { name, stack = "" } = fault instanceof Error ? fault : new Error();
  const bare = new Error(`${name} while a request was answered`);
  bare.stack = stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .join("\n");
  return bare;
};

/** Where even the answering of errors failed: Bun's own page would show the program's source. */
export const answerFault = (fault: unknown, report: (error: Error) => void): Response => {
  report(withoutMessage(fault));
  return Response.json({ detail: "Internal Server Error" }, { status: 500 });
};
