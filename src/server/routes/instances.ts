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
import { decimal } from "./query.ts";

const tags = ["Instances"];

const MAX_BODY_BYTES = 1024 * 1024;
const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => c.json({ detail: "Request body is larger than 1 MiB" }, 413),
});

export const idParam = z.object({
  id: z.string().meta({ description: "Id of the instance", example: exampleInstance.id }),
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
    description: "Its log files stay.",
    request: { params: idParam },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance as it was", exampleAnswer("deleted")),
      400: active("delete"),
      ...guarded,
      404: notFound,
      500: notSaved,
      503: shuttingDown,
    },
  }),
};

const wait = z.object({
  wait: decimal(
    { min: 0, max: 600 },
    "Seconds to wait for the model to be ready; the setting START_WAIT (20) unless given",
  ),
});

const startAnswers = (verb: "start" | "restart", past: string) => ({
  200: jsonAnswer(
    instanceAnswer,
    "`running`, or `starting` where loading takes longer than the wait",
    exampleAnswer(past),
  ),
  ...guarded,
  404: notFound,
  409: errorAnswer("A stop overtook it", `The ${verb} was overtaken by a stop`),
  422: invalid,
  500: errorAnswer(
    "It failed within the wait",
    `Failed to ${verb} instance: model: no such file: '/models/llama-3-8b.gguf'`,
  ),
  503: shuttingDown,
});

const operations = {
  start: createRoute({
    operationId: "startInstance",
    method: "post",
    path: "/instances/{id}/start",
    tags,
    security,
    summary: "Start an instance",
    request: { params: idParam, query: wait },
    responses: startAnswers("start", "started"),
  }),
  stop: createRoute({
    operationId: "stopInstance",
    method: "post",
    path: "/instances/{id}/stop",
    tags,
    security,
    summary: "Stop an instance",
    description: "SIGTERM, then SIGKILL after STOP_TIMEOUT. A second stop sends SIGKILL at once.",
    request: { params: idParam },
    responses: {
      200: jsonAnswer(instanceAnswer, "Nothing of it is left", exampleAnswer("stopped")),
      ...guarded,
      404: notFound,
      500: errorAnswer(
        "It outlives SIGKILL, or could not be saved",
        "Failed to stop instance: process group 4242 is still there 5 s after SIGKILL",
      ),
      503: shuttingDown,
    },
  }),
  restart: createRoute({
    operationId: "restartInstance",
    method: "post",
    path: "/instances/{id}/restart",
    tags,
    security,
    summary: "Stop and start an instance",
    request: { params: idParam, query: wait },
    responses: startAnswers("restart", "restarted"),
  }),
};

/** @param defaultWaitMs how long start and restart wait for the model unless asked otherwise */
export const addInstanceRoutes = (app: OpenAPIHono, supervisor: Supervisor, defaultWaitMs: number): void => {
  const done = (id: string, what: string) => ({
    instance: supervisor.get(id).view,
    message: `Instance ${id} ${what} successfully`,
  });
  const jsonText = (text: string) => new Response(text, { headers: { "content-type": "application/json" } });
  const waitMs = (seconds: number | undefined): number => (seconds === undefined ? defaultWaitMs : seconds * 1000);

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
    return c.json({ ...done(id, "updated"), ...warningsOf(read.warnings) }, 200);
  });

  app.openapi(routes.remove, async (c) => {
    const { id } = c.req.valid("param");
    supervisor.refuseAtEnd();
    const removed = await supervisor.delete(id);
    return c.json({ instance: removed, message: `Instance ${id} deleted successfully` }, 200);
  });

  app.openapi(operations.start, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    supervisor.refuseAtEnd();
    await target.start(waitMs(c.req.valid("query").wait));
    return c.json(done(id, "started"), 200);
  });

  app.openapi(operations.stop, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    // Of one that is left running for the next daemon, nobody could say any more that it was stopped.
    supervisor.refuseAtEnd();
    await target.stop();
    return c.json(done(id, "stopped"), 200);
  });

  app.openapi(operations.restart, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    supervisor.refuseAtEnd();
    await target.restart(waitMs(c.req.valid("query").wait));
    return c.json(done(id, "restarted"), 200);
  });
};

const warningsOf = (warnings: string[]): { warnings?: string[] } => (warnings.length === 0 ? {} : { warnings });
