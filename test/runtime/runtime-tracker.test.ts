import { expect, test } from "bun:test";
import { backends } from "../../src/backends/index.ts";
import { llamacppDefinition } from "../../src/contract/index.ts";
import { RuntimeTracker } from "../../src/runtime/runtime-tracker.ts";
import { until } from "../support/until.ts";

const config = llamacppDefinition.request.parse({ model: "/m.gguf", alias: "m", api_key: "k", host: "127.0.0.1" });
const LISTENS = "0.00.018.505 I srv  llama_server: listening on http://127.0.0.1:3500";

const trackerOf = (kept: ConstructorParameters<typeof RuntimeTracker>[2] = null) => {
  let changes = 0;
  const tracker = new RuntimeTracker("i-1", config, kept);
  tracker.subscribe(({ type }) => {
    if (type === "kept") changes += 1;
  });
  return { tracker, changes: () => changes };
};

const refusing = () => {
  const asked: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      asked.push(new URL(request.url).pathname);
      return new Response("no", { status: 501 });
    },
  });
  return { server, asked, endpoint: { host: "127.0.0.1", port: server.port ?? 0, healthPath: "/health" } };
};

test("a server of which neither the log nor /slots tells anything may be busy, until its log does", async () => {
  const { server, asked, endpoint } = refusing();
  const { tracker } = trackerOf();
  tracker.begin(backends.llamacpp);
  expect(tracker.mayBeBusy).toBe(false);
  tracker.attach(backends.llamacpp, endpoint, config);
  await until("it to be asked", () => asked.length > 0);
  await until("the refusal to be known", () => tracker.mayBeBusy);
  expect([tracker.busy, asked[0]]).toEqual([false, "/slots"]);
  tracker.readLines([LISTENS], new Date().toISOString(), 0);
  expect(tracker.mayBeBusy).toBe(false);
  tracker.end();
  await server.stop(true);
});

test("whether a log tells anything is kept for the next daemon, and is open again with the next process", () => {
  const { tracker, changes } = trackerOf();
  expect(tracker.keptAt(0).log_tells).toBe(false);
  tracker.readLines(["a line of no meaning"], new Date().toISOString(), 0);
  expect([tracker.keptAt(1).log_tells, changes()]).toEqual([false, 0]);
  tracker.readLines([LISTENS], new Date().toISOString(), 1);
  const record = tracker.keptAt(2);
  expect([record, changes()]).toEqual([{ seq: 2, log_tells: true, slots: [], generations: [] }, 1]);
  const next = trackerOf(record).tracker;
  expect(next.keptAt(2).log_tells).toBe(true);
  next.begin(backends.llamacpp);
  expect(next.keptAt(2).log_tells).toBe(false);
});
