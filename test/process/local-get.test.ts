import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { askHealth } from "../../src/model-server/readiness.ts";
import { localGet, parseAnswer } from "../../src/process/local-get.ts";
import { root } from "../support/paths.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

describe("a question to a model server, with every place of fetch taken", () => {
  let hanging = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      if (new URL(request.url).pathname !== "/hang") return new Response('[{"id":0}]');
      hanging += 1;
      return new Promise<Response>(() => undefined);
    },
  });
  const port = server.port ?? 0;
  const controller = new AbortController();
  afterAll(async () => {
    controller.abort();
    await server.stop(true);
  });

  test("is answered: the health check and /slots alike", async () => {
    const asked = Array.from({ length: 300 }, () =>
      fetch(`http://127.0.0.1:${port}/hang`, { signal: controller.signal }).catch(() => undefined),
    );
    await until("the places to be taken", () => hanging >= 256);
    expect(await askHealth({ host: "127.0.0.1", port, healthPath: "/health" })).toBe(200);
    const slots = await localGet({ hostname: "127.0.0.1", port, path: "/slots" }, {}, 5000);
    expect(slots).toEqual({ status: 200, body: '[{"id":0}]' });
    controller.abort();
    await Promise.all(asked);
  });
});

test("a process without descriptors does not take a model server that it cannot ask for a silent one", () => {
  const script = join(root, "test/fixtures/ask-without-descriptors.ts");
  const { stdout } = Bun.spawnSync(["bash", "-c", 'ulimit -n 100; exec "$0" "$1"', process.execPath, script]);
  expect(JSON.parse(stdout.toString())).toEqual({ full: "unasked", again: 200 });
});

test("where nothing listens, no answer comes", async () => {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port } = server;
  await server.stop(true);
  expect(await askHealth({ host: "127.0.0.1", port: port ?? 0, healthPath: "/health" })).toBeNull();
});

describe("an answer", () => {
  const parse = (text: string, ended = false) => parseAnswer(Buffer.from(text), ended);

  test("is whole at its length, at its last chunk, or at the end of the connection", () => {
    expect(parse("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nabc")).toEqual({ status: 503, body: "ab" });
    expect(parse("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", true)).toBeNull();
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
    expect(parse(chunked)).toEqual({ status: 200, body: "abcd" });
    expect(parse(chunked.slice(0, -10))).toBeNull();
    expect(parse("HTTP/1.0 404 No\r\n\r\nabc")).toBeNull();
    expect(parse("HTTP/1.0 404 No\r\n\r\nabc", true)).toEqual({ status: 404, body: "abc" });
  });

  test("of another protocol is none", () => {
    expect(parse("SSH-2.0-OpenSSH\r\n\r\n", true)).toBeNull();
    expect(parse("", true)).toBeNull();
  });
});
