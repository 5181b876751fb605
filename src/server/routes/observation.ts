import { z } from "@hono/zod-openapi";
import {
  errorFrame,
  eventFrame,
  generationMetrics,
  logFrame,
  logLine,
  runtimeState,
  stateFrame,
} from "../../contract/index.ts";
import { readPage } from "../../logs/cursor.ts";
import { selectGeneration } from "../../runtime/generations.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import {
  exampleEventFrames,
  exampleGeneration,
  exampleLines,
  exampleLogFrames,
  exampleState,
  exampleStateFrames,
} from "../examples.ts";
import { errorAnswer, invalid, jsonAnswer, notFound, unreadable } from "./answers.ts";
import { idParam, timestamp, whole, yesNo } from "./query.ts";
import { type App, scopedRoute } from "./route.ts";

const tags = ["Observation"];
const MAX_LIMIT = 10_000;
const DEFAULT_LIMIT = 1000;
const MAX_GENERATIONS = 100;
const DEFAULT_GENERATIONS = 20;

const rangeShape = {
  after: whole({ min: -1 }, "Only lines with a higher seq; -1 is all there are"),
  tail: whole({ min: 0 }, "Only the last so many; with after, of those"),
};

/** What both forms of the log take, REST and WebSocket. */
export const rangeQuery = z.object(rangeShape);

/** What the WebSocket of events takes. */
export const eventsQuery = z.object({
  log: yesNo("Also what happened to instances, the last 500 events first, none left out"),
});

const logsQuery = z.object({
  ...rangeShape,
  since: timestamp("Only lines that were read then or later (UTC where it names no zone)"),
  until: timestamp("Only lines that were read before that (UTC where it names no zone)"),
  limit: whole(
    { min: 1, max: MAX_LIMIT },
    `The first so many lines of those that are asked for; ${DEFAULT_LIMIT} by default. Read on with after=<last seq>`,
  ),
});

const lastGenerationQuery = z.object({
  after: timestamp("Only one that finished at or after this time (UTC where it names no zone)"),
  within_s: whole({ min: 0 }, "Only one that finished in the last so many seconds"),
});

const generationsQuery = z.object({
  limit: whole({ min: 1, max: MAX_GENERATIONS }, `At most so many; ${DEFAULT_GENERATIONS} by default`),
});

const logsRoute = scopedRoute("read", {
  operationId: "listLogLines",
  method: "get",
  path: "/instances/{id}/logs",
  tags,
  summary: "Lines of the log",
  description: [
    "It begins behind `after`, or `tail` lines before the end (with both, at the later of the two); with neither, where",
    "the newest LOG_BUFFER_SIZE lines do. Lines that are older come from the file. One answer has the first `limit` of",
    `the lines from there on, ${DEFAULT_LIMIT} where none is given, and fewer where they are very long: read on with the`,
    "last `seq` as `after` until an answer is empty. With `since` or `until`, `tail` counts from the end of that time.",
    "",
    "As a WebSocket (same path, `ws://`) it takes no `limit`, `since` and `until`: it replays all of those lines and goes on with new ones as",
    "they come, a frame each.",
    "With `after` or `tail`, a `gap` frame stands for lines whose file is no longer there.",
    "Authentication: the header, or the two subprotocols `solar-host` and `key.<base64url of the key>`.",
  ].join("\n"),
  request: { params: idParam, query: logsQuery },
  responses: {
    200: jsonAnswer(z.array(logLine), "In order", exampleLines),
    101: {
      description: "WebSocket: frames",
      content: { "application/json": { schema: logFrame, examples: exampleLogFrames } },
    },
    404: notFound,
    422: invalid,
    503: unreadable,
  },
});

const eventsRoute = scopedRoute("read", {
  operationId: "followEvents",
  method: "get",
  path: "/events",
  tags,
  summary: "All instances and their states, as they change",
  description: [
    "A WebSocket (`ws://`): a snapshot of all there is, then whole objects as they change. Instances at once, states at",
    "most every 100 ms. A slow subscriber gets the newest of each and skips what was in between. With `log=1` also what",
    "happened, in order, and none of it is left out. Authentication as for the log.",
  ].join("\n"),
  request: { query: eventsQuery },
  responses: {
    101: {
      description: "WebSocket: frames",
      content: { "application/json": { schema: eventFrame, examples: exampleEventFrames } },
    },
    422: invalid,
    426: errorAnswer("It was asked for without an upgrade", "This is a WebSocket: ask for an upgrade"),
  },
});

const stateRoute = scopedRoute("read", {
  operationId: "getInstanceState",
  method: "get",
  path: "/instances/{id}/state",
  tags,
  summary: "What the model server is doing",
  description: [
    "As a WebSocket (same path, `ws://`) it sends the present state, then each change. Unlike that of a log line, `seq`",
    "begins at 0 again with each daemon: it says nothing of frames before a connection. Authentication as for the log.",
  ].join("\n"),
  request: { params: idParam },
  responses: {
    200: jsonAnswer(runtimeState, "Its state now", exampleState),
    101: {
      description: "WebSocket: frames",
      content: {
        "application/json": { schema: z.union([stateFrame, errorFrame]), examples: exampleStateFrames },
      },
    },
    404: notFound,
  },
});

const generationsRoute = scopedRoute("read", {
  operationId: "listGenerations",
  method: "get",
  path: "/instances/{id}/generations",
  tags,
  summary: "Figures of the finished generations",
  request: { params: idParam, query: generationsQuery },
  responses: {
    200: jsonAnswer(z.array(generationMetrics), "Newest first; the last 100 are kept", [exampleGeneration]),
    404: notFound,
    422: invalid,
    503: unreadable,
  },
});

const lastGenerationRoute = scopedRoute("read", {
  operationId: "getLastGeneration",
  method: "get",
  path: "/instances/{id}/last-generation",
  tags,
  summary: "Figures of the last finished generation",
  request: { params: idParam, query: lastGenerationQuery },
  responses: {
    200: jsonAnswer(generationMetrics, "The newest one that fits", exampleGeneration),
    404: errorAnswer("No such instance, or no generation that fits", "No generation metrics available"),
    422: invalid,
    503: unreadable,
  },
});

export const addObservationRoutes = (app: App, supervisor: Supervisor): void => {
  app.openapi(logsRoute, async (c) => {
    const instance = supervisor.get(c.req.valid("param").id);
    const { after = null, tail = null, since = null, until = null, limit = DEFAULT_LIMIT } = c.req.valid("query");
    await instance.openLog();
    const page = readPage(instance.log, { after, tail, since, until }, limit);
    return c.json(
      page.map(({ seq, timestamp, line }) => ({ seq, timestamp, line })),
      200,
    );
  });

  app.openapi(eventsRoute, (c) =>
    c.json({ detail: "This is a WebSocket: ask for an upgrade" }, 426, { Upgrade: "websocket" }),
  );

  app.openapi(stateRoute, (c) => c.json(supervisor.get(c.req.valid("param").id).tracker.state, 200));

  app.openapi(generationsRoute, async (c) => {
    const instance = supervisor.get(c.req.valid("param").id);
    await instance.openLog();
    const { limit = DEFAULT_GENERATIONS } = c.req.valid("query");
    return c.json(instance.tracker.generations.slice(-limit).reverse(), 200);
  });

  app.openapi(lastGenerationRoute, async (c) => {
    const instance = supervisor.get(c.req.valid("param").id);
    const { after, within_s } = c.req.valid("query");
    await instance.openLog();
    const filter = { after, withinS: within_s };
    const answer = selectGeneration(instance.tracker.generations, filter, Date.now());
    return answer.found ? c.json(answer.generation, 200) : c.json({ detail: answer.detail }, 404);
  });
};
