import { z } from "@hono/zod-openapi";
import { toFieldError } from "../../contract/errors.ts";
import { type KeyRequest, keyCreated, keyInfo, keyRequest } from "../../contract/keys.ts";
import { InvalidBodyError, readJsonBody } from "../body.ts";
import { exampleKey, exampleKeyCreated, exampleKeyRequest } from "../examples.ts";
import type { KeyRing } from "../key-ring.ts";
import { errorAnswer, invalid, jsonAnswer, notSaved, tooLarge } from "./answers.ts";
import { type App, describeRoute, limitBody, scopedRoute } from "./route.ts";

/** Further keys: who else may ask, and for what. */

const tags = ["Keys"];

const routes = {
  list: scopedRoute("admin", {
    operationId: "listKeys",
    method: "get",
    path: "/keys",
    tags,
    summary: "The further keys, without the keys themselves",
    responses: { 200: jsonAnswer(z.array(keyInfo), "In the order in which they were made", [exampleKey]) },
  }),
  create: scopedRoute("admin", {
    operationId: "createKey",
    method: "post",
    middleware: limitBody,
    hide: true,
    path: "/keys",
    tags,
    summary: "Make a key",
    description: "The answer tells the key this once. It is stored as a hash.",
    responses: {
      200: jsonAnswer(keyCreated, "The new key", exampleKeyCreated),
      413: tooLarge,
      422: invalid,
      500: notSaved,
    },
  }),
  revoke: scopedRoute("admin", {
    operationId: "revokeKey",
    method: "delete",
    path: "/keys/{id}",
    tags,
    summary: "Revoke a key",
    description: "At once: what it has open ends.",
    request: { params: z.object({ id: z.string().meta({ description: "Id of the key" }) }) },
    responses: {
      200: jsonAnswer(z.object({ message: z.string() }), "It is no key any more", { message: "Key revoked" }),
      404: errorAnswer("There is no such key", "Key not found"),
      500: notSaved,
    },
  }),
};

const asStep = (step: PropertyKey): string | number => (typeof step === "number" ? step : String(step));

const valueAt = (body: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((inner, step) => (inner as Record<PropertyKey, unknown> | undefined)?.[step], body);

const parse = (body: unknown): KeyRequest => {
  const parsed = keyRequest.safeParse(body);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.flatMap((issue) => {
    const paths = issue.code === "unrecognized_keys" ? issue.keys.map((name) => [name]) : [issue.path];
    return paths.map((path) => toFieldError(["body", ...path.map(asStep)], issue, valueAt(body, path)));
  });
  throw new InvalidBodyError(fields);
};

export const addKeyRoutes = (app: App, keys: Pick<KeyRing, "list" | "create" | "revoke">): void => {
  const body = { required: true, content: { "application/json": { schema: keyRequest, example: exampleKeyRequest } } };
  describeRoute(app, routes.create, { body });
  app.openapi(routes.list, (c) => c.json(keys.list(), 200));
  app.openapi(routes.create, async (c) => c.json(await keys.create(parse(await readJsonBody(c))), 200));
  app.openapi(routes.revoke, async (c) => {
    const isRevoked = await keys.revoke(c.req.valid("param").id);
    return isRevoked ? c.json({ message: "Key revoked" }, 200) : c.json({ detail: "Key not found" }, 404);
  });
};
