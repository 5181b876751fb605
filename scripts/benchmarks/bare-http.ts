import { Hono } from "hono";

/** What the daemon's HTTP side is held against: Hono on Bun with one route and fixed bytes. */

const file = process.argv[2];
const body = file === undefined ? "" : await Bun.file(file).text();
const app = new Hono();
app.get("*", (c) => c.body(body, 200, { "content-type": "application/json" }));
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: app.fetch, development: false });
console.log(server.port);
