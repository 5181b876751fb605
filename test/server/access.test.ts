import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { KEY, TestDaemon, TestSocket } from "../support/daemon.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
});
afterAll(() => daemon[Symbol.asyncDispose]());

const unknownId = "00000000-0000-4000-8000-000000000000";
const UNAUTHORIZED = { detail: "Invalid or missing API key" };

const ask = (method: string, path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${daemon.url}${path}`, { method, headers });

describe("without the key", () => {
  test("exactly the open paths answer", async () => {
    for (const path of ["/", "/health", "/docs", "/openapi.json", "/docs/assets/swagger-ui-dist/swagger-ui.css"]) {
      expect([path, (await ask("GET", path)).status]).toEqual([path, 200]);
    }
    const closed = ["/memory", "/instances", "/healthz", "/health/", "/docs2", "/docs/", "/instances/"];
    for (const path of closed) expect([path, (await ask("GET", path)).status]).toEqual([path, 401]);
  });

  test("the page of the API has all that it names: style, script and icon", async () => {
    const html = await (await ask("GET", "/docs")).text();
    const named = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = ""]) => path);
    expect(named.map((path) => path.split("/").at(-1)).sort()).toEqual([
      "favicon.png",
      "swagger-ui-bundle.js",
      "swagger-ui.css",
    ]);
    for (const path of named) expect([path, (await ask("GET", path)).status]).toEqual([path, 200]);
  });

  test("every route is closed, for every method, before the request is read further", async () => {
    const id = unknownId;
    const asked: [string, string][] = [
      ["GET", "/instances"],
      ["POST", "/instances"],
      ["GET", `/instances/${id}`],
      ["PUT", `/instances/${id}`],
      ["DELETE", `/instances/${id}`],
      ["POST", `/instances/${id}/start`],
      ["POST", `/instances/${id}/stop`],
      ["POST", `/instances/${id}/restart`],
      ["GET", `/instances/${id}/state`],
      ["GET", `/instances/${id}/last-generation`],
      ["GET", `/instances/${id}/logs`],
      ["GET", "/no/such/path"],
      ["PATCH", "/instances"],
      ["GET", "/memory"],
    ];
    for (const [method, path] of asked) {
      const answer = await ask(method, path);
      expect([method, path, answer.status, await answer.json()]).toEqual([method, path, 401, UNAUTHORIZED]);
      expect(answer.headers.get("content-type")).toStartWith("application/json");
      // A browser could not read the answer otherwise.
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    }
  });

  test("a wrong key is no key, in whatever dress", async () => {
    // Of its own: so many wrong keys in a second close the address to others.
    await using own = await TestDaemon.start();
    const wrong: Record<string, string>[] = [
      { "X-API-Key": "wrong" },
      { "X-API-Key": "" },
      { "X-API-Key": `${KEY}x` },
      { "X-API-Key": KEY.slice(0, -1) },
      { "X-API-Key": KEY.toUpperCase() },
      { Authorization: `Basic ${KEY}` },
      { Authorization: KEY },
      { Authorization: "Bearer wrong" },
      { Authorization: "Bearer" },
      { Cookie: `X-API-Key=${KEY}` },
    ];
    for (const headers of wrong) {
      const { status } = await fetch(`${own.url}/instances`, { headers });
      expect([headers, status]).toEqual([headers, 401]);
    }
  });

  test("a key in the URL opens nothing and is not logged", async () => {
    for (const query of ["api_key", "key", "X-API-Key", "token", "access_token"]) {
      expect((await ask("GET", `/instances?${query}=${KEY}`)).status).toBe(401);
    }
    expect(daemon.stderr).not.toContain(KEY);
  });
});

describe("with the key", () => {
  test("as X-API-Key or as a bearer, in any case of the header", async () => {
    for (const headers of [
      { "X-API-Key": KEY },
      { "x-api-key": KEY },
      { Authorization: `Bearer ${KEY}` },
      { authorization: `bearer ${KEY}` },
    ]) {
      expect((await ask("GET", "/instances", headers as never)).status).toBe(200);
    }
  });

  test("unknown paths are 404 and wrong methods 405, each an error like all others", async () => {
    const headers = { "X-API-Key": KEY };
    for (const path of ["/no/such/path", "/instances/x/y/z", "/instances/x/unknown"]) {
      const answer = await ask("GET", path, headers);
      expect([path, answer.status, await answer.json()]).toEqual([path, 404, { detail: "Not Found" }]);
    }
    const wrong: [string, string, string][] = [
      ["PATCH", "/instances", "GET, HEAD, POST"],
      ["DELETE", "/instances", "GET, HEAD, POST"],
      ["POST", "/health", "GET, HEAD"],
      ["GET", `/instances/${unknownId}/start`, "POST"],
      ["PUT", `/instances/${unknownId}/state`, "GET, HEAD"],
    ];
    for (const [method, path, allowed] of wrong) {
      const answer = await ask(method, path, headers);
      expect([method, path, answer.status, await answer.json()]).toEqual([
        method,
        path,
        405,
        { detail: "Method Not Allowed" },
      ]);
      const allow = (answer.headers.get("allow") ?? "").split(", ").sort();
      expect(allowed.split(", ").every((name) => name === "HEAD" || allow.includes(name))).toBe(true);
      expect(allow).not.toContain(method);
    }
  });

  test("an unknown instance is 404 on each of its routes", async () => {
    const asked: [string, string, unknown?][] = [
      ["GET", ""],
      ["PUT", "", { config: { model: "/m", alias: "a", api_key: "k" } }],
      ["DELETE", ""],
      ["POST", "/start"],
      ["POST", "/stop"],
      ["POST", "/restart"],
      ["GET", "/state"],
      ["GET", "/last-generation"],
      ["GET", "/logs"],
    ];
    for (const id of [unknownId, "x", "..%2f..%2fetc", "%00", "%zz", "x".repeat(3000)]) {
      for (const [method, rest, body] of asked) {
        const answer = await daemon.request(method, `/instances/${id}${rest}`, body);
        expect([id, method, rest, answer.status, answer.body]).toEqual([
          id,
          method,
          rest,
          404,
          { detail: "Instance not found" },
        ]);
      }
    }
  });
});

describe("a browser of another origin", () => {
  test("may send any method and header, but not with its cookies", async () => {
    for (const path of ["/instances", `/instances/${unknownId}/start`, "/no/such/path", "/health"]) {
      const answer = await ask("OPTIONS", path, {
        Origin: "http://elsewhere.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-api-key,content-type,x-own-header",
      });
      expect(answer.ok).toBe(true);
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
      const methods = (answer.headers.get("access-control-allow-methods") ?? "").split(",");
      expect(methods).toEqual(expect.arrayContaining(["GET", "POST", "PUT", "DELETE"]));
      expect(answer.headers.get("access-control-allow-headers")).toContain("x-own-header");
    }
  });

  test("can read every answer, errors too", async () => {
    const headers = { Origin: "http://elsewhere.example", "X-API-Key": KEY };
    for (const path of ["/instances", "/no/such/path", `/instances/${unknownId}`, "/memory"]) {
      expect((await ask("GET", path, headers)).headers.get("access-control-allow-origin")).toBe("*");
    }
    expect((await ask("PATCH", "/instances", headers)).headers.get("access-control-allow-origin")).toBe("*");
    const invalid = await fetch(`${daemon.url}/instances`, { method: "POST", headers, body: "{" });
    expect([invalid.status, invalid.headers.get("access-control-allow-origin")]).toEqual([422, "*"]);
  });
});

describe("what the service says of itself", () => {
  test("is its health, its name and its backends", async () => {
    const health = await daemon.request<{ version: string }>("GET", "/health", undefined, {});
    expect(health).toEqual({
      status: 200,
      body: { status: "healthy", service: "solar-host", version: expect.any(String) } as never,
    });
    const info = await daemon.request("GET", "/", undefined, {});
    expect(info.body).toEqual({
      service: "solar-host",
      version: health.body.version,
      description: expect.any(String),
      supported_backends: ["llamacpp", "huggingface_causal", "huggingface_classification"],
      docs: "/docs",
    });
  });

  test("is its memory, in GiB", async () => {
    const { status, body } = await daemon.request<Record<string, number>>("GET", "/memory");
    expect(status).toBe(200);
    expect(["VRAM", "RAM"]).toContain(body.memory_type as never);
    expect(body.used_gb).toBeGreaterThan(0);
    expect(body.total_gb).toBeGreaterThan(body.used_gb ?? 0);
    expect(body.percent).toBeGreaterThan(0);
    expect(body.devices).toBeArray();
    expect(String(body.total_gb)).toMatch(/^\d+(\.\d{1,2})?$/);
  });

  test("is JSON everywhere", async () => {
    for (const path of ["/health", "/", "/memory", "/instances", `/instances/${unknownId}`, "/no/such/path"]) {
      const answer = await ask("GET", path, { "X-API-Key": KEY });
      expect([path, answer.headers.get("content-type")]).toEqual([path, expect.stringMatching(/^application\/json/)]);
    }
  });

  test("answers HEAD as it answers GET, without a body", async () => {
    const paths = ["/health", "/", "/instances", "/docs", "/openapi.json", "/docs/assets/favicon.png", "/no/such/path"];
    for (const path of [...paths, `/instances/${unknownId}`, `/instances/${unknownId}/start`]) {
      const [head, get] = await Promise.all(["HEAD", "GET"].map((method) => ask(method, path, { "X-API-Key": KEY })));
      const length = String((await get?.bytes())?.length);
      expect([path, head?.status, head?.headers.get("content-length")]).toEqual([path, get?.status, length]);
      expect(head?.headers.get("content-type")).toBe(get?.headers.get("content-type") ?? null);
      expect(await head?.text()).toBe("");
    }
    expect((await ask("HEAD", "/instances")).status).toBe(401);
  });
});

describe("a WebSocket", () => {
  const path = `/instances/${unknownId}/logs`;
  const statusOf = async (socketPath: string, headers: Record<string, string>): Promise<number> =>
    (
      await ask("GET", socketPath, {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ...headers,
      })
    ).status;
  const asProtocol = (key: string): string => `key.${Buffer.from(key).toString("base64url")}`;

  test("is refused with 401 without the key, on paths that are not there too", async () => {
    expect(await statusOf(path, {})).toBe(401);
    expect(await statusOf(path, { "X-API-Key": "wrong" })).toBe(401);
    expect(await statusOf(path, { "Sec-WebSocket-Protocol": `solar-host, ${asProtocol("wrong")}` })).toBe(401);
    expect(await statusOf(path, { "Sec-WebSocket-Protocol": "solar-host" })).toBe(401);
    expect(await statusOf(`${path}?api_key=${KEY}&key=${KEY}`, {})).toBe(401);
    expect(await statusOf("/instances/x/unknown", {})).toBe(401);
  });

  test("never answers with the subprotocol that holds the key", async () => {
    const key = `key.${Buffer.from(KEY).toString("base64url")}`;
    const handshake = {
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    for (const offered of [key, `foo, ${key}`, `${key}, foo`]) {
      for (const own of [{}, { "x-api-key": KEY }]) {
        const answer = await fetch(`${daemon.url}/instances/${unknownId}/logs`, {
          headers: { ...handshake, ...own, "sec-websocket-protocol": offered },
        });
        expect([offered, answer.status]).toEqual([offered, "x-api-key" in own ? 400 : 401]);
        expect(answer.headers.get("sec-websocket-protocol")).toBeNull();
      }
    }
  });

  test("is opened by the header, by a bearer, and by a browser's two subprotocols, of which ours is selected", async () => {
    const ways: [Record<string, string>, string[], string][] = [
      [{ "X-API-Key": KEY }, [], ""],
      [{ Authorization: `Bearer ${KEY}` }, [], ""],
      [{}, ["solar-host", asProtocol(KEY)], "solar-host"],
      [{}, [asProtocol(KEY), "solar-host"], "solar-host"],
      [{ "X-API-Key": KEY }, ["solar-host"], "solar-host"],
    ];
    for (const [headers, protocols, selected] of ways) {
      const socket = new TestSocket(`ws://127.0.0.1:${daemon.port}${path}`, headers, protocols);
      await socket.opened;
      expect(socket.protocol).toBe(selected);
      socket.close();
      await socket.closed;
    }
  });

  test("is opened by GET alone: other methods are what they are elsewhere, whatever headers they bring", async () => {
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "X-API-Key": KEY };
    const handshake = { ...headers, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
    const preflight = await ask("OPTIONS", path, { ...handshake, "X-API-Key": "" });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([
      204,
      expect.stringContaining("GET"),
    ]);
    for (const method of ["POST", "PUT", "DELETE"]) {
      expect([method, (await ask(method, path, handshake)).status]).toEqual([method, 405]);
      expect([method, (await ask(method, path, { ...handshake, "X-API-Key": "wrong" })).status]).toEqual([method, 401]);
    }
  });

  test("for an unknown instance is accepted, told so and closed", async () => {
    for (const kind of ["logs", "state"]) {
      for (const id of [unknownId, "x", "%zz", "..%2f.."]) {
        const socket = daemon.socket(`/instances/${id}/${kind}`);
        await socket.opened;
        await socket.closed;
        expect([kind, id, socket.frames]).toEqual([kind, id, [{ error: "Instance not found" }]]);
      }
    }
  });

  test("with a range that is none is refused with 422, and plain GETs of its path are not upgrades", async () => {
    for (const query of ["after=x", "after=-2", "tail=-1", "after=1.5", "tail=", "after=1e3"]) {
      expect([query, await statusOf(`${path}?${query}`, { "X-API-Key": KEY })]).toEqual([query, 422]);
    }
    expect((await ask("GET", path, { "X-API-Key": KEY })).status).toBe(404);
  });

  test("says of a wrong range what the same range is answered over REST", async () => {
    const handshake = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    for (const query of ["tail=1&tail=2", "after=1&after=1", "after=x&tail=-1", "tail="]) {
      const [rest, socket] = await Promise.all(
        [{}, handshake].map(async (headers) => {
          const answer = await ask("GET", `${path}?${query}`, { "X-API-Key": KEY, ...headers });
          return [answer.status, await answer.json()];
        }),
      );
      expect([query, rest]).toEqual([query, [422, { detail: expect.any(Array) }]]);
      expect([query, socket]).toEqual([query, rest]);
    }
    const twice = await daemon.request("GET", `${path}?tail=1&tail=2`);
    expect(twice.body).toEqual({
      detail: [{ type: "string_type", loc: ["query", "tail"], msg: "Input should be given once", input: null }],
    });
  });

  test("whose client sends messages unasked does no harm", async () => {
    const instance = await daemon.createFake();
    const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/instances/${instance.id}/state`, {
      headers: { "X-API-Key": KEY },
    } as never);
    let frames = 0;
    socket.onmessage = () => {
      frames += 1;
    };
    await until("the first frame", () => frames === 1);
    socket.send("hello");
    socket.send(new Uint8Array(60_000));
    const closed = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    socket.send("x".repeat(1_000_000));
    await closed;
    expect((await ask("GET", "/health")).status).toBe(200);
  });
});
