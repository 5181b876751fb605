import { afterAll, beforeAll, expect, test } from "bun:test";
import { z } from "zod";
import { Api } from "../../src/ctl/api.ts";
import { CtlError } from "../../src/ctl/errors.ts";
import type { Target } from "../../src/ctl/target.ts";

/** Against a server that answers what the path says: `/<status>/<body>`. */

let server: ReturnType<typeof Bun.serve>;
const seen: { method: string; url: URL; key: string | null; body: string }[] = [];
let health = '{"status":"healthy","service":"solar-host","version":"1.2.3"}';

beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const url = new URL(request.url);
      seen.push({ method: request.method, url, key: request.headers.get("x-api-key"), body: await request.text() });
      if (url.pathname === "/health") return new Response(health);
      const [, status = "", body = ""] = url.pathname.split("/");
      if (status === "never") return await new Promise<Response>(() => undefined);
      if (status === "302") return new Response("", { status: 302, headers: { location: "/200/1" } });
      return new Response(decodeURIComponent(body), { status: Number(status) });
    },
  });
});
afterAll(() => server.stop(true));

const api = (target: Partial<Target> = {}): Api =>
  new Api({ url: server.url.origin, key: "secret-key", name: "gpu1", keyFrom: "context 'gpu1'", ...target });

const answer = (status: number, body: unknown): string => `/${status}/${encodeURIComponent(JSON.stringify(body))}`;

const failure = async (run: Promise<unknown>): Promise<CtlError> => {
  try {
    await run;
  } catch (error) {
    if (error instanceof CtlError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

const number = z.object({ n: z.number() });

test("an answer is given as the contract knows it and as it came", async () => {
  const { value, raw } = await api().request(answer(200, { n: 1, added: 2 }), number);
  expect(value).toEqual({ n: 1 });
  expect(raw).toEqual({ n: 1, added: 2 });
});

test("the key is a header and never part of the address; what is undefined is not asked", async () => {
  await api().request(answer(200, { n: 1 }), number, {
    method: "PUT",
    body: { a: 1 },
    query: { wait: 0, tail: undefined },
  });
  const last = seen.at(-1);
  expect([last?.method, last?.url.search, last?.key, last?.body]).toEqual(["PUT", "?wait=0", "secret-key", '{"a":1}']);
  await api({ key: "" }).request(answer(200, { n: 1 }), number);
  expect(seen.at(-1)?.key).toBeNull();
});

test.each([
  [404, "Instance not found", 4, "Instance not found"],
  [400, "Cannot delete running instance. Stop it first.", 1, "Cannot delete running instance. Stop it first."],
  [409, "The start was overtaken by a stop", 1, "The start was overtaken by a stop"],
  [503, "The daemon is shutting down", 1, "The daemon is shutting down"],
])("%d '%s' ends with %d in the daemon's words", async (status, detail, code, message) => {
  const error = await failure(api().request(answer(status, { detail }), number));
  expect<unknown[]>([error.exitCode, error.message]).toEqual([code, message]);
});

test("values that are refused are told by the names of their fields", async () => {
  const detail = [
    { type: "missing", loc: ["body", "config", "alias"], msg: "Field required", input: null },
    { type: "x", loc: ["body", "config", "labels", 0], msg: "Input should not be empty", input: "" },
    { type: "x", loc: ["query", "wait"], msg: "Input should be a number", input: "x" },
    { type: "x", loc: ["body"], msg: "Malformed JSON", input: null },
  ];
  const { exitCode, hints } = await failure(api().request(answer(422, { detail }), number));
  expect(exitCode).toBe(2);
  expect(hints).toEqual([
    "alias: Field required",
    "labels.0: Input should not be empty",
    "wait: Input should be a number",
    "Malformed JSON",
  ]);
});

test("a refused key ends with 6, says where it came from and does not show it", async () => {
  const error = await failure(api().request(answer(401, { detail: "Invalid or missing API key" }), number));
  expect(error.exitCode).toBe(6);
  expect(error.message).toContain("refused the key from context 'gpu1'");
  expect([error.message, ...error.hints].join("\n")).not.toContain("secret-key");
  const missing = await failure(api({ key: "" }).request(answer(401, {}), number));
  expect(missing.message).toContain("asks for a key");
});

test.each<[string, Partial<Target>, string]>([
  ["a host that is named", { context: "gpu1" }, "solar-host ctl context add gpu1 http://"],
  ["a daemon on this machine", { directory: "/srv/a", keyFrom: "the record" }, "start the daemon again"],
  ["a daemon on this machine with --key", { directory: "/srv/a", keyFrom: "--key" }, "leave --key out"],
  ["an address", {}, "in SOLAR_HOST_API_KEY"],
])("%s that refuses the key: what is said to do helps there", async (_, target, hint) => {
  const { hints } = await failure(api(target).request(answer(401, {}), number));
  expect(hints.join()).toContain(hint);
  expect(hints.join().includes("SOLAR_HOST_API_KEY")).toBe(
    target.context === undefined && target.directory === undefined,
  );
});

test("nobody there, and somebody who does not answer, end with 5", async () => {
  const nobody = await failure(api({ url: "http://127.0.0.1:1" }).request("/", number));
  expect([nobody.exitCode, nobody.message]).toEqual([
    5,
    "cannot reach gpu1 (http://127.0.0.1:1): nothing listens there",
  ]);
  const silent = await failure(api().request("/never", number, { timeoutMs: 50 }));
  expect([silent.exitCode, silent.message]).toEqual([
    5,
    `cannot reach gpu1 (${server.url.origin}): no answer within 0.05 s`,
  ]);
});

test.each([
  ["another shape", "/200/%7B%22n%22%3A%22x%22%7D", "n: "],
  ["no JSON", "/200/hello", "no JSON"],
  ["a request that it does not know", answer(404, { detail: "Not Found" }), "it does not know this request"],
  ["an error without a reason", "/500/oops", "status 500"],
  ["another place", "/302/", "status 302"],
])("%s names the version of the daemon and ours, and what was not understood", async (_, path, problem) => {
  const error = await failure(api().request(path, number));
  expect(error.exitCode).toBe(1);
  expect(error.message).toContain("solar-host 1.2.3, which this client (");
  expect(error.message).toContain(problem);
  expect(error.hints.join()).toContain("1.2.3");
});

test("a redirect is not followed: the key is for one place", async () => {
  const before = seen.length;
  await failure(api().request("/302/", number));
  expect(seen.slice(before).map(({ url }) => url.pathname)).toEqual(["/302/", "/health"]);
});

test("what is no solar-host is named as that", async () => {
  const before = health;
  health = "<html>";
  const error = await failure(api().request("/200/hello", number));
  health = before;
  expect(error.message).toContain("is no solar-host daemon");
});

test("an answer that is not understood may follow something that was done", async () => {
  const error = await failure(api().request("/200/hello", number, { method: "POST" }));
  expect(error.hints.join()).toContain("may have been done");
});
