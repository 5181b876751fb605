import { z } from "@hono/zod-openapi";
import { type InstanceConfig, instance, instanceAnswer, instanceRequest } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { mergedConfig, parseBody, readConfigBody, replacedConfig } from "../body.ts";
import { exampleAnswer, exampleConfigs, exampleInstance } from "../examples.ts";
import { shownTo } from "../shown-instance.ts";
import { errorAnswer, invalid, jsonAnswer, notFound, notSaved, shuttingDown, tooLarge } from "./answers.ts";
import { decimal, idParam, yesNo } from "./query.ts";
import { type App, askerOf, describeRoute, limitBody, scopedRoute } from "./route.ts";

/** Routes of the instances as they are stored: create, list, edit, delete. */

const tags = ["Instances"];

/** Described here, read by {@link readConfigBody}: the description is the strict form, what is taken is more. */
const body = {
  required: true,
  content: {
    "application/json": {
      schema: instanceRequest,
      examples: exampleConfigs,
    },
  },
};

/** The fields that are to be changed. */
const changes = {
  required: true,
  content: {
    "application/json": {
      schema: z.object({ config: z.record(z.string(), z.unknown()) }).meta({ id: "InstanceChange" }),
      example: { config: { ctx_size: 4096, temp: null } },
    },
  },
};

const removeQuery = z.object({ logs: yesNo("Its log files go too") });

const mergeQuery = z.object({
  restart: yesNo("One that runs is stopped for it and started again"),
  wait: decimal({ min: 0, max: 600 }, "Seconds to wait for the model to be ready; START_WAIT (20) unless given"),
});

const active = (verb: string) =>
  errorAnswer("It is neither stopped nor failed", `Cannot ${verb} running instance. Stop it first.`);

const routes = {
  list: scopedRoute("read", {
    operationId: "listInstances",
    method: "get",
    path: "/instances",
    tags,
    summary: "All instances",
    responses: {
      200: jsonAnswer(z.array(instance), "In the order in which they were created", [exampleInstance]),
    },
  }),
  get: scopedRoute("read", {
    operationId: "getInstance",
    method: "get",
    path: "/instances/{id}",
    tags,
    summary: "One instance",
    request: { params: idParam },
    responses: { 200: jsonAnswer(instance, "The instance", exampleInstance), 404: notFound },
  }),
  create: scopedRoute("admin", {
    operationId: "createInstance",
    method: "post",
    middleware: limitBody,
    hide: true,
    path: "/instances",
    tags,
    summary: "Create an instance",
    description: "It is stored, not started. Unknown keys of the config are left out and named in `warnings`.",
    responses: {
      200: jsonAnswer(instanceAnswer, "The new instance", exampleAnswer("created")),
      413: tooLarge,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
  update: scopedRoute("admin", {
    operationId: "updateInstance",
    method: "put",
    middleware: limitBody,
    hide: true,
    path: "/instances/{id}",
    tags,
    summary: "Replace the config of an instance",
    request: { params: idParam },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance with its new config", exampleAnswer("updated")),
      400: active("update"),
      404: notFound,
      413: tooLarge,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
  merge: scopedRoute("admin", {
    operationId: "changeInstance",
    method: "patch",
    middleware: limitBody,
    hide: true,
    path: "/instances/{id}",
    tags,
    summary: "Change fields of the config of an instance",
    description: [
      "Fields that are not given stay; null is a field's default. With `restart` one that runs may be changed too: what",
      "can be seen of the new config is looked at first (files, program, port), then it is stopped, changed and started",
      "again. A refusal leaves what runs as it was. One that is stopped stays stopped, one that failed is started.",
    ].join("\n"),
    request: { params: idParam, query: mergeQuery },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance with its new config", exampleAnswer("updated")),
      400: active("update"),
      404: notFound,
      409: errorAnswer(
        "It could not run with the new config, which is not stored; or a stop overtook the restart",
        "Cannot run with the new config, so nothing was changed: address in use: port 3500 is taken by another program",
      ),
      413: tooLarge,
      422: invalid,
      500: errorAnswer(
        "It could not be saved, and nothing was changed; or it died with the new config, which is stored",
        "Failed to restart instance: the model server ended with exit code 1: error: invalid argument",
      ),
      503: shuttingDown,
    },
  }),
  remove: scopedRoute("admin", {
    operationId: "deleteInstance",
    method: "delete",
    path: "/instances/{id}",
    tags,
    summary: "Delete an instance",
    description: "Its log files stay, unless `logs` is true; `POST /logs/prune` removes them later.",
    request: { params: idParam, query: removeQuery },
    responses: {
      200: jsonAnswer(instanceAnswer, "The instance as it was", exampleAnswer("deleted")),
      400: active("delete"),
      404: notFound,
      422: invalid,
      500: notSaved,
      503: shuttingDown,
    },
  }),
};

/** @param startWaitMs how long a restart waits for the model unless asked otherwise */
export const addInstanceRoutes = (app: App, supervisor: Supervisor, startWaitMs: number): void => {
  describeRoute(app, routes.create, { body });
  describeRoute(app, routes.update, { params: idParam, body });
  describeRoute(app, routes.merge, { params: idParam, query: mergeQuery, body: changes });

  app.openapi(routes.list, (c) => {
    const views = supervisor.list().map(({ view }) => shownTo(c.env.principal, view));
    return c.json(views, 200);
  });
  app.openapi(routes.get, (c) => c.json(shownTo(c.env.principal, supervisor.get(c.req.valid("param").id).view), 200));

  app.openapi(routes.create, async (c) => {
    const { config, unknown } = parseBody(await readConfigBody(c));
    const created = await supervisor.create(config);
    return c.json({ instance: created, ...done(created.id, "created", unknown) }, 200);
  });

  app.openapi(routes.update, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    const given = await readConfigBody(c);
    const { unknown } = replacedConfig(target.config, given);
    supervisor.refuseAtEnd();
    await target.update((before) => replacedConfig(before, given).config);
    return c.json({ instance: target.view, ...done(id, "updated", unknown) }, 200);
  });

  app.openapi(routes.merge, async (c) => {
    const { id } = c.req.valid("param");
    const { restart, wait } = c.req.valid("query");
    const target = supervisor.get(id);
    const given = await readConfigBody(c);
    const { unknown } = mergedConfig(target.config, given);
    supervisor.refuseAtEnd();
    const change = (before: InstanceConfig): InstanceConfig => mergedConfig(before, given).config;
    if (restart) await target.updateRunning(change, wait === undefined ? startWaitMs : wait * 1000, askerOf(c));
    else await target.update(change);
    return c.json({ instance: target.view, ...done(id, "updated", unknown) }, 200);
  });

  app.openapi(routes.remove, async (c) => {
    const { id } = c.req.valid("param");
    supervisor.refuseAtEnd();
    const removed = await supervisor.delete(id, c.req.valid("query").logs === true);
    return c.json({ instance: removed, message: `Instance ${id} deleted successfully` }, 200);
  });
};

const done = (id: string, what: string, unknown: string[]): { message: string; warnings?: string[] } => {
  const message = `Instance ${id} ${what} successfully`;
  return unknown.length === 0
    ? { message }
    : { message, warnings: unknown.map((key) => `unknown key '${key}' was left out`) };
};
