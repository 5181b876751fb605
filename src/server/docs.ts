import { SwaggerUI } from "@hono/swagger-ui";
import favicon from "swagger-ui-dist/favicon-32x32.png" with { type: "file" };
import stylesheet from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import script from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { version } from "../version.ts";
import type { App } from "./routes/route.ts";
import { OPEN_PREFIX } from "./who-asks.ts";

/** The API's description and its page, both from the binary: nothing is fetched from anywhere. */

const assets: Record<string, { path: string; type: string }> = {
  "swagger-ui-dist/swagger-ui.css": { path: stylesheet, type: "text/css; charset=utf-8" },
  "swagger-ui-dist/swagger-ui-bundle.js": { path: script, type: "text/javascript; charset=utf-8" },
  "favicon.png": { path: favicon, type: "image/png" },
};

const description = [
  "Starts, watches, restarts and stops model inference servers: llama.cpp's llama-server and a HuggingFace server.",
  "",
  "Every error is `{detail}`: a sentence, or for input that fails validation a list of `{type, loc, msg, input}`.",
  "Beside what each route names: 404 `Not Found` for a path that is none, 405 `Method Not Allowed`, and 500",
  "`Internal Server Error` for a fault of the daemon itself, which its log then tells more of.",
  "",
  "A key has scopes, and each route names the one that it wants: `admin` may do everything, `read` is every GET and",
  "WebSocket with the `api_key` of the instances masked, `infer` is the use of the models. `API_KEY` has all of them.",
  "",
  "Two WebSockets, with the key in the header, or as a browser's subprotocols `solar-host` and `key.<base64url>`:",
  "`/instances/{id}/logs?after=&tail=` replays the newest lines and sends each new one as `{seq, timestamp, line}`;",
  '`/instances/{id}/state` sends `{type: "instance_state", data}` at once and at each change.',
].join("\n");

/** The OpenAPI 3.1 document. */
export const describeApi = (app: App) =>
  app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "solar-host", version, description },
    tags: [
      { name: "Instances", description: "Create, edit, start and stop" },
      { name: "Observation", description: "Logs, live state and figures" },
      { name: "System", description: "The daemon itself and its machine" },
      { name: "Keys", description: "Who else may ask, and for what" },
    ],
  });

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>solar-host API</title>
    <link rel="icon" type="image/png" href="${OPEN_PREFIX}favicon.png" />
  </head>
  <body>
    ${SwaggerUI({
      url: "/openapi.json",
      baseUrl: OPEN_PREFIX,
      persistAuthorization: true,
      displayRequestDuration: true,
      tryItOutEnabled: true,
    })}
  </body>
</html>
`;

export const addDocs = (app: App): void => {
  app.openAPIRegistry.registerComponent("securitySchemes", "ApiKey", {
    type: "apiKey",
    in: "header",
    name: "X-API-Key",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "Bearer", { type: "http", scheme: "bearer" });
  let document: ReturnType<typeof describeApi> | null = null;
  app.get("/openapi.json", (c) => {
    document ??= describeApi(app);
    return c.json(document);
  });
  app.get("/docs", (c) => c.html(page));
  app.get(`${OPEN_PREFIX}*`, (c) => {
    const asset = assets[c.req.path.slice(OPEN_PREFIX.length)];
    if (asset === undefined) return c.notFound();
    return new Response(Bun.file(asset.path), {
      headers: { "content-type": asset.type, "cache-control": "public, max-age=86400" },
    });
  });
};
