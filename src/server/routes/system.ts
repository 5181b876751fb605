import { createRoute } from "@hono/zod-openapi";
import { backendTypes, type Health, health, type Memory, memory, serviceInfo } from "../../contract/index.ts";
import { version } from "../../version.ts";
import { exampleMemory } from "../examples.ts";
import { jsonAnswer } from "./answers.ts";
import { type App, scopedRoute } from "./route.ts";

const healthy: Health = { status: "healthy", service: "solar-host", version };

const description = "Process manager for model inference servers";
const info = {
  service: "solar-host" as const,
  version,
  description,
  supported_backends: [...backendTypes],
  docs: "/docs",
};

const healthRoute = createRoute({
  operationId: "getHealth",
  method: "get",
  path: "/health",
  tags: ["System"],
  summary: "Whether the daemon answers",
  responses: { 200: jsonAnswer(health, "It does", healthy) },
});

const infoRoute = createRoute({
  operationId: "getServiceInfo",
  method: "get",
  path: "/",
  tags: ["System"],
  summary: "What this service is",
  responses: { 200: jsonAnswer(serviceInfo, "Name, version and backends", info) },
});

const memoryRoute = scopedRoute("read", {
  operationId: "getMemory",
  method: "get",
  path: "/memory",
  tags: ["System"],
  summary: "Memory of the GPUs, or of the machine where there is none",
  responses: { 200: jsonAnswer(memory, "In GiB; at most 5 s old", exampleMemory) },
});

export const addSystemRoutes = (app: App, readMemory: () => Promise<Memory>): void => {
  app.openapi(healthRoute, (c) => c.json(healthy, 200));
  app.openapi(infoRoute, (c) => c.json(info, 200));
  app.openapi(memoryRoute, async (c) => c.json(await readMemory(), 200));
};
