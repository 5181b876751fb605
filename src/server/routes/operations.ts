import { z } from "@hono/zod-openapi";
import { instanceAnswer } from "../../contract/index.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import { exampleAnswer } from "../examples.ts";
import { errorAnswer, invalid, jsonAnswer, notFound, shuttingDown } from "./answers.ts";
import { decimal, idParam } from "./query.ts";
import { type App, askerOf, scopedRoute } from "./route.ts";

/** Routes that act on an instance: start, stop, restart. */

const tags = ["Instances"];

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

  404: notFound,
  409: errorAnswer("A stop, a restart or the end of the daemon overtook it", `The ${verb} was overtaken by a stop`),
  422: invalid,
  500: errorAnswer(
    "It failed within the wait",
    `Failed to ${verb} instance: model: no such file: '/models/llama-3-8b.gguf'`,
  ),
  503: shuttingDown,
});

const operations = {
  start: scopedRoute("admin", {
    operationId: "startInstance",
    method: "post",
    path: "/instances/{id}/start",
    tags,
    summary: "Start an instance",
    request: { params: idParam, query: wait },
    responses: startAnswers("start", "started"),
  }),
  stop: scopedRoute("admin", {
    operationId: "stopInstance",
    method: "post",
    path: "/instances/{id}/stop",
    tags,
    summary: "Stop an instance",
    description: "SIGTERM, then SIGKILL after STOP_TIMEOUT. A second stop sends SIGKILL at once.",
    request: { params: idParam },
    responses: {
      200: jsonAnswer(instanceAnswer, "Nothing of it is left", exampleAnswer("stopped")),
      404: notFound,
      500: errorAnswer(
        "It outlives SIGKILL, or could not be saved",
        "Failed to stop instance: process group 4242 is still there 5 s after SIGKILL",
      ),
      503: shuttingDown,
    },
  }),
  restart: scopedRoute("admin", {
    operationId: "restartInstance",
    method: "post",
    path: "/instances/{id}/restart",
    tags,
    summary: "Stop and start an instance",
    request: { params: idParam, query: wait },
    responses: startAnswers("restart", "restarted"),
  }),
};

/** @param defaultWaitMs how long start and restart wait for the model unless asked otherwise */
export const addOperationRoutes = (app: App, supervisor: Supervisor, defaultWaitMs: number): void => {
  const done = (id: string, what: string) => ({
    instance: supervisor.get(id).view,
    message: `Instance ${id} ${what} successfully`,
  });
  const waitMs = (seconds: number | undefined): number => (seconds === undefined ? defaultWaitMs : seconds * 1000);

  app.openapi(operations.start, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    supervisor.refuseAtEnd();
    await target.lifecycle.start(waitMs(c.req.valid("query").wait), askerOf(c));
    return c.json(done(id, "started"), 200);
  });

  app.openapi(operations.stop, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    // An instance may be left running for the next daemon, which would not know that it was stopped.
    supervisor.refuseAtEnd();
    await target.lifecycle.stop(askerOf(c));
    return c.json(done(id, "stopped"), 200);
  });

  app.openapi(operations.restart, async (c) => {
    const { id } = c.req.valid("param");
    const target = supervisor.get(id);
    supervisor.refuseAtEnd();
    await target.lifecycle.restart(waitMs(c.req.valid("query").wait), askerOf(c));
    return c.json(done(id, "restarted"), 200);
  });
};
