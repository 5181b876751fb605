import { describe, expect, test } from "bun:test";
import type { Instance } from "../../src/contract/index.ts";
import { type Scope, scopes } from "../../src/contract/keys.ts";
import { createApp } from "../../src/server/app.ts";
import { crossOriginRules } from "../../src/server/cross-origin.ts";
import { describeApi } from "../../src/server/docs.ts";
import { exampleInstance } from "../../src/server/examples.ts";
import { anyone, keyLookup, may, type Principal } from "../../src/server/principal.ts";
import { createDoor, nameOf } from "../../src/server/who-asks.ts";
import { WrongKeys } from "../../src/server/wrong-keys.ts";
import { EventStream } from "../../src/supervisor/events.ts";
import type { Supervisor } from "../../src/supervisor/supervisor.ts";
import { noKeys } from "../support/keys.ts";

/** Who asks, and which routes its scopes open. With the owner's key over HTTP: access.test.ts. */

const withScopes = (...given: Scope[]): Principal => ({ name: "a key of a test", scopes: given });

describe("a principal", () => {
  test("may do what its scopes say, and with admin everything", () => {
    const allowed = (principal: Principal): Scope[] => scopes.filter((scope) => may(principal, scope));
    expect(allowed(withScopes("admin"))).toEqual([...scopes]);
    expect(allowed(withScopes("read"))).toEqual(["read"]);
    expect(allowed(withScopes("infer", "read"))).toEqual(["read", "infer"]);
    expect(allowed(anyone)).toEqual([]);
  });

  test("is found by its key, and by no other", () => {
    const whose = keyLookup("the-key-4711");
    expect(whose("the-key-4711")).toEqual({ name: "owner", scopes });
    for (const wrong of [null, "", "the-key-471", "the-key-47111", "THE-KEY-4711"]) expect(whose(wrong)).toBeNull();
  });

  test("of a daemon without a key is this machine, whatever key is offered", () => {
    for (const offered of [null, "", "any"]) expect(keyLookup("")(offered)).toEqual({ name: "this machine", scopes });
  });

  test("is named in the log with its program, which cannot change the line", () => {
    expect(nameOf(withScopes("read"), "curl/8.5.0")).toBe("a key of a test (curl/8.5.0)");
    expect(nameOf(withScopes("read"), "a\nb\u001b[31m")).toBe("a key of a test (ab[31m)");
    for (const unnamed of [undefined, "", " \t"]) expect(nameOf(withScopes("read"), unnamed)).toBe("a key of a test");
  });
});

const touched: string[] = [];
const supervisor = new Proxy({} as Supervisor, {
  get: (_, name) => {
    if (name === "events") return new EventStream();
    touched.push(String(name));
    const managed = { view: exampleInstance as Instance };
    return name === "list" ? () => [managed] : () => managed;
  },
});
const app = createApp({
  supervisor,
  keys: noKeys,
  readMemory: () => Promise.reject(new Error("not asked")),
  startWaitMs: 0,
  report: () => undefined,
});
const operations = Object.entries(describeApi(app).paths ?? {}).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, { security?: { ApiKey: Scope[] }[] }>).map(([method, { security }]) => ({
    method: method.toUpperCase(),
    path: path.replace("{id}", exampleInstance.id),
    scope: security?.[0]?.ApiKey[0] ?? null,
  })),
);

describe("a route", () => {
  const ask = (principal: Principal, method: string, path: string): Promise<Response> =>
    Promise.resolve(app.fetch(new Request(`http://x${path}`, { method }), { principal }));

  test.each(operations.filter(({ scope }) => scope !== null))(
    "$method $path is refused to each principal without its scope, before anything is done",
    async ({ method, path, scope }) => {
      for (const other of scopes.filter((one) => one !== "admin" && one !== scope)) {
        touched.length = 0;
        const answer = await ask(withScopes(other), method, path);
        expect([answer.status, await answer.json()]).toEqual([
          403,
          { detail: `This key may not ${method} ${path}: it lacks the scope '${scope}'` },
        ]);
        expect(touched).toEqual([]);
      }
      expect((await ask(anyone, method, path)).status).toBe(403);
    },
  );

  test("that is open asks for no scope", async () => {
    for (const { method, path } of operations.filter(({ scope }) => scope === null))
      expect([path, (await ask(anyone, method, path)).status]).toEqual([path, 200]);
  });

  test("with the scope read shows instances, and their keys to admin alone", async () => {
    for (const [principal, key] of [
      [withScopes("read"), "********"],
      [withScopes("admin"), exampleInstance.config.api_key],
    ] as const) {
      const shown = { ...exampleInstance, config: { ...exampleInstance.config, api_key: key } };
      expect(await (await ask(principal, "GET", "/instances")).json()).toEqual([shown]);
      expect(await (await ask(principal, "GET", `/instances/${exampleInstance.id}`)).json()).toEqual(shown);
    }
  });
});

describe("the door", () => {
  let seconds = 0;
  /** However many wrong keys there are, each comes a second after the last. */
  const patient = new WrongKeys(() => 1000 * seconds++);
  const keys: Record<string, Principal> = { reads: withScopes("read"), infers: withScopes("infer") };
  const door = createDoor(crossOriginRules("a key"), (offered) => keys[offered ?? ""] ?? null, patient);
  const asked = (path: string, key?: string, method = "GET"): Request =>
    new Request(`http://x${path}`, { method, headers: key === undefined ? {} : { "X-API-Key": key } });
  const route = async (request: Request): Promise<string> => {
    let name = "nobody";
    const answer = await door.answer(request, "192.0.2.1", (principal) => {
      ({ name } = principal);
      return new Response("routed");
    });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    return `${answer.status} ${name}`;
  };

  test.each(operations.filter(({ scope }) => scope !== null))(
    "lets nothing through to $method $path without a key, or with a wrong one",
    async ({ method, path }) => {
      for (const key of [undefined, "", "wrong"]) expect(await route(asked(path, key, method))).toBe("401 nobody");
    },
  );

  test("tells the route who asks, and refuses a wrong key before anything is routed", async () => {
    expect(await route(asked("/instances", "reads"))).toBe("200 a key of a test");
    expect(await route(asked("/health"))).toBe("200 anyone");
    for (const key of [undefined, "wrong"]) expect(await route(asked("/no/such/path", key))).toBe("401 nobody");
    expect(await route(asked("/instances", undefined, "OPTIONS"))).toBe("204 nobody");
  });

  test("opens a WebSocket to the scope read alone", async () => {
    const statusOf = async (key: string): Promise<unknown> => {
      const answer = await door.socket(asked("/instances/a/logs", key), "192.0.2.1", async () => undefined);
      return answer === undefined ? "open" : [answer.status, ((await answer.json()) as { detail: string }).detail];
    };
    expect(await statusOf("reads")).toBe("open");
    expect(await statusOf("infers")).toEqual([
      403,
      "This key may not GET /instances/a/logs: it lacks the scope 'read'",
    ]);
    expect(await statusOf("wrong")).toEqual([401, "Invalid or missing API key"]);
  });

  test("of a daemon without a key refuses a page of another origin before all else", async () => {
    const keyless = createDoor(crossOriginRules(""), keyLookup(""), new WrongKeys());
    for (const method of ["GET", "OPTIONS"]) {
      const request = new Request("http://localhost/health", { method, headers: { origin: "http://evil.example" } });
      expect((await keyless.answer(request, "", () => new Response())).status).toBe(403);
      expect((await keyless.socket(request, "", async () => undefined))?.status).toBe(403);
    }
  });

  test("closes an address that tries many wrong keys to wrong keys, and lets a right one in all the same", async () => {
    let now = 0;
    const bounded = createDoor(
      crossOriginRules("a key"),
      (offered) => keys[offered ?? ""] ?? null,
      new WrongKeys(() => now),
    );
    const tried = async (key: string, address: string): Promise<[number, string | null]> => {
      const answer = await bounded.answer(asked("/instances", key), address, () => new Response("routed"));
      return [answer.status, answer.headers.get("retry-after")];
    };
    for (let n = 0; n < 10; n++) expect(await tried("wrong", "192.0.2.1")).toEqual([401, null]);
    expect(await tried("wrong", "192.0.2.1")).toEqual([429, "60"]);
    expect(await tried("reads", "192.0.2.1")).toEqual([200, null]);
    expect(await tried("wrong", "192.0.2.2")).toEqual([401, null]);
    now = 59_000;
    expect(await tried("wrong", "192.0.2.1")).toEqual([429, "1"]);
    now = 61_000;
    expect(await tried("wrong", "192.0.2.1")).toEqual([401, null]);
  });
});
