import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { bodyLimit } from "hono/body-limit";
import { instance, instanceAnswer, instanceRequest } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { readConfigBody } from "../body.ts";
import {
  exampleAnswer,
  exampleCausalConfig,
  exampleClassificationConfig,
  exampleConfig,
  exampleInstance,
} from "../examples.ts";
import {
  errorAnswer,
  guarded,
  invalid,
  jsonAnswer,
  notFound,
  notSaved,
  security,
  shuttingDown,
  tooLarge,
} from "./answers.ts";
import { idParam, yesNo } from "./query.ts";

/** Routes of the instances as they are stored: create, list, edit, delete. */

const tags = ["Instances"];

const MAX_BODY_BYTES = 1024 * 1024;
const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => c.json({ detail: "Request body is larger than 1 MiB" }, 413),
});

/** Described here, read by {@link readConfigBody}: the description is the strict form, what is taken is more. */
const body = {
  required: true,
  content: {
    "application/json": {
      schema: instanceRequest,
      examples: {
        llamacpp: { summary: "llama.cpp", value: { config: exampleConfig } },
        huggingface_causal: { summary: "HuggingFace, text generation", value: { config: exampleCausalConfig } },
        huggingface_classification: {
          summary: "HuggingFace, classification",
          value: { config: exampleClassificationConfig },
        },
      },
    },
  },
};

const removeQuery = z.object({ logs: yesNo("Its log files go too") });

const active = (verb: string) =>
  errorAnswer("It is neither stopped nor failed", `Cannot ${verb} running instance. Stop it first.`);

const routes = {
  list: createRoute({
    operationId: "listInstances",
    method: "get",
    path: "/instances",
    tags,
    security,
    summary: "All instances",
    responses: {
      200: jsonAnswer(z.array(instance), "In the order in which they were created", [exampleInstance]),
      ...guarded,
    },
  }),
  get: createRoute({
    operationId: "getInstance",
    method: "get",
    path: "/instances/{id}",
    tags,
    security,
    summary: "One instance",
    request: { params: idParam },
    responses: { 200: jsonAnswer(instance, "The instance", exampleInstance), ...guarded, 404: notFound },
  }),
  create: createRoute({
    operationId: "createInstance",
    method: "post",
    path: "/instances",
    tags,
    security,
    summary: "Create an instance",
    description: "It is stored, not started. Unknown keys of the config are left out and named in `warnings`.",
    responses: {
      200: jsonAnswer(instanceAnswer, "The new instance", exampleAnswer("created")),
      ...guarded,
      413: tooLarge,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
  update: createRoute({
    operationId: "updateInstance",
    method: "put",
    path: "/instances/{id}",
    tags,
    security,
    summary: "Replace the config of an instance",
    request: { params: idParam },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance with its new config", exampleAnswer("updated")),
      400: active("update"),
      ...guarded,
      404: notFound,
      413: tooLarge,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
  remove: createRoute({
    operationId: "deleteInstance",
    method: "delete",
    path: "/instances/{id}",
    tags,
    security,
    summary: "Delete an instance",
    description: "Its log files stay, unless `logs` is true; `POST /logs/prune` removes them later.",
    request: { params: idParam, query: removeQuery },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance as it was", exampleAnswer("deleted")),
      400: active("delete"),
      ...guarded,
      404: notFound,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
};

export const addInstanceRoutes = (app: OpenAPIHono, supervisor: Supervisor): void => {
  const jsonText = (text: string) => new Response(text, { headers: { "content-type": "application/json" } });

  app.openAPIRegistry.registerPath({ ...routes.create, request: { body } });
  app.openAPIRegistry.registerPath({ ...routes.update, request: { params: idParam, body } });

  // Both are kept as JSON text, which is what these two are asked for most.
  app.openapi(routes.list, () => jsonText(supervisor.listJson) as never);
  app.openapi(routes.get, (c) => jsonText(supervisor.get(c.req.valid("param").id).viewJson) as never);

  app.openapi({ ...routes.create, middleware: limitBody, hide: true }, async (c) => {
    const read = await readConfigBody(c);
    if ("invalid" in read) return c.json({ detail: read.invalid }, 422);
    const created = await supervisor.create(read.config);
    const message = `Instance ${created.id} created successfully`;
    return c.json({ instance: created, message, ...warningsOf(read.warnings) }, 200);
  });

  app.openapi({ ...routes.update, middleware: limitBody, hide: true }, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    const read = await readConfigBody(c);
    if ("invalid" in read) return c.json({ detail: read.invalid }, 422);
    supervisor.refuseAtEnd();
    await target.update(read.config);
    const message = `Instance ${id} updated successfully`;
    return c.json({ instance: target.view, message, ...warningsOf(read.warnings) }, 200);
  });

  app.openapi(routes.remove, async (c) => {
    const { id } = c.req.valid("param");
    supervisor.refuseAtEnd();
    const removed = await supervisor.delete(id, c.req.valid("query").logs === true);
    return c.json({ instance: removed, message: `Instance ${id} deleted successfully` }, 200);
  });
};

const warningsOf = (warnings: string[]): { warnings?: string[] } => (warnings.length === 0 ? {} : { warnings });
