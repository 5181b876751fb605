import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyCreated, KeyInfo } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** Further keys of a daemon, on the built binary: what each may do, until when, and what is kept of it. */

setDefaultTimeout(60_000);

const make = async (daemon: TestDaemon, body: Record<string, unknown>): Promise<KeyCreated> => {
  const answer = await daemon.request<KeyCreated>("POST", "/keys", body);
  expect([answer.status, answer.body]).toEqual([200, expect.objectContaining({ name: body.name })]);
  return answer.body;
};

const ask = (daemon: TestDaemon, key: string, method: string, path: string, body?: unknown) =>
  daemon.request<Record<string, unknown>>(method, path, body, { "X-API-Key": key });

const keyFile = (daemon: TestDaemon): string => join(daemon.dir, ".solar-host/keys.json");

describe.concurrent("a key", () => {
  test("that reads sees all and changes nothing; no key of an instance is shown to it, in no form", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { key } = await make(daemon, { name: "grafana", scopes: ["read"] });
    const list = await ask(daemon, key, "GET", "/instances");
    expect([list.status, JSON.stringify(list.body)]).toEqual([200, expect.stringContaining('"api_key":"********"')]);
    expect(JSON.stringify((await ask(daemon, key, "GET", `/instances/${id}`)).body)).not.toContain("instance-key");
    const socket = daemon.socket("/events", { "X-API-Key": key });
    await until("the snapshot", () => socket.frames.length > 0);
    expect(JSON.stringify(socket.frames)).not.toContain("instance-key");
    socket.close();
    for (const [method, path] of [
      ["POST", `/instances/${id}/start`],
      ["DELETE", `/instances/${id}`],
      ["POST", "/instances"],
      ["GET", "/keys"],
      ["POST", "/keys"],
    ] as const) {
      const refused = await ask(daemon, key, method, path, method === "POST" ? {} : undefined);
      expect([path, refused.status, refused.body.detail]).toEqual([
        path,
        403,
        `This key may not ${method} ${path}: it lacks the scope 'admin'`,
      ]);
    }
    expect((await daemon.get(id)).status).toBe("stopped");
  });

  test("with admin may do everything, and the daemon's log calls its user by the key's name", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const { key } = await make(daemon, { name: "colleague", scopes: ["admin"] });
    expect((await ask(daemon, key, "POST", `/instances/${id}/start`)).status).toBe(200);
    expect(daemon.stderr).toContain("asked to start by colleague");
    expect(daemon.stderr).not.toContain(key);
  });

  test("that is revoked ends at once: its requests, and the sockets that it has open; others go on", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const [gone, kept] = [
      await make(daemon, { name: "a", scopes: ["read"] }),
      await make(daemon, { name: "b", scopes: ["read"] }),
    ];
    const sockets = [gone, kept].map(({ key }) => daemon.socket(`/instances/${id}/state`, { "X-API-Key": key }));
    await until("both", () => sockets.every(({ frames }) => frames.length > 0));
    expect((await daemon.request("DELETE", `/keys/${gone.id}`)).status).toBe(200);
    expect(await sockets[0]?.closed).toMatchObject({ code: 1008 });
    expect((await ask(daemon, gone.key, "GET", "/instances")).status).toBe(401);
    expect((await ask(daemon, kept.key, "GET", "/instances")).status).toBe(200);
    expect((await daemon.request("DELETE", `/keys/${gone.id}`)).status).toBe(404);
    await daemon.start(id);
    await until("the other one to hear more", () => (sockets[1]?.frames.length ?? 0) > 0);
    sockets[1]?.close();
  });

  test("whose time is over is none any more, and what it has open ends", async () => {
    await using daemon = await TestDaemon.start();
    const expires_at = new Date(Date.now() + 1500).toISOString();
    const { key } = await make(daemon, { name: "guest", scopes: ["read"], expires_at });
    const socket = daemon.socket("/events", { "X-API-Key": key });
    await until("the snapshot", () => socket.frames.length > 0);
    await until("it to be over", async () => (await ask(daemon, key, "GET", "/instances")).status === 401);
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });

  test("is kept over a kill, as a hash, in a file for its owner alone", async () => {
    await using daemon = await TestDaemon.start();
    const { key, id } = await make(daemon, { name: "grafana", scopes: ["read"] });
    await daemon.kill();
    expect(readFileSync(keyFile(daemon), "utf8")).not.toContain(key);
    expect(statSync(keyFile(daemon)).mode & 0o777).toBe(0o600);
    await using next = await daemon.again();
    expect((await ask(next, key, "GET", "/instances")).status).toBe(200);
    const { body } = await next.request<KeyInfo[]>("GET", "/keys");
    expect(body).toEqual([
      expect.objectContaining({ id, name: "grafana", scopes: ["read"], prefix: key.slice(0, 14) }),
    ]);
    expect(body[0]?.last_used_at).toMatch(/:00\.000Z$/);
    expect(JSON.stringify(body)).not.toContain(key);
    for (const file of readdirSync(next.dir, { recursive: true, withFileTypes: true })) {
      if (file.isFile()) expect(readFileSync(join(file.parentPath, file.name), "utf8")).not.toContain(key);
    }
  });

  test("file that is damaged stops the boot, and says what to do", async () => {
    await using daemon = await TestDaemon.start();
    await make(daemon, { name: "grafana", scopes: ["read"] });
    await daemon.end();
    writeFileSync(keyFile(daemon), "{");
    await expect(daemon.again()).rejects.toThrow("keys.json is damaged. Take the last good copy back");
    expect(readFileSync(keyFile(daemon), "utf8")).toBe("{");
  });

  test.each([
    [{ scopes: ["read"] }, "name", "Field required"],
    [{ name: "", scopes: ["read"] }, "name", "Input should not be empty"],
    [{ name: "a", scopes: [] }, "scopes", "Input should name at least one scope"],
    [{ name: "a", scopes: ["write"] }, "scopes,0", "Input should be one of 'admin', 'read', 'infer'"],
    [{ name: "a", scopes: ["read"], expires_at: "tomorrow" }, "expires_at", "Input should be an RFC 3339 time"],
    [{ name: "a", scopes: ["read"], scope: "x" }, "scope", "There is no such field"],
    [[], "", "Input should be an object"],
  ])("that is asked for wrongly is refused by the field: %j", async (body, field, message) => {
    await using daemon = await TestDaemon.start();
    const answer = await daemon.request<{ detail: { loc: unknown[]; msg: string }[] }>("POST", "/keys", body);
    expect(answer.status).toBe(422);
    const [first] = answer.body.detail;
    expect([first?.loc.slice(1).join(), first?.msg]).toEqual([field, expect.stringContaining(message)]);
  });

  test("that is wrong is tried ten times a second, then that address has to wait; the right one never has", async () => {
    await using daemon = await TestDaemon.start();
    const statuses = await Promise.all(Array.from({ length: 40 }, () => ask(daemon, "wrong", "GET", "/instances")));
    expect(new Set(statuses.map(({ status }) => status))).toEqual(new Set([401, 429]));
    expect((await ask(daemon, KEY, "GET", "/instances")).status).toBe(200);
  });
});

describe.concurrent("ctl keys", () => {
  test("makes, lists and revokes keys; the key alone is printed, and works", async () => {
    await using daemon = await TestDaemon.start();
    const ctl = Ctl.of(daemon);
    const made = await ctl.run(["keys", "create", "grafana", "--scopes", "read", "--expires", "30d"]);
    expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^sk-solar-[\w-]{43}\n$/)]);
    const key = made.out.trim();
    expect((await ask(daemon, key, "GET", "/instances")).status).toBe(200);
    const listed = await ctl.run(["keys", "ls"]);
    expect(listed.out).toMatch(/grafana +read +sk-solar-\S+…/);
    expect((await ctl.run(["keys", "rm", "grafana"])).code).toBe(0);
    expect((await ask(daemon, key, "GET", "/instances")).status).toBe(401);
    expect((await ctl.run(["keys", "rm", "grafana"])).code).toBe(4);
  });

  test("names what is wrong: a scope, a time, no scopes", async () => {
    await using daemon = await TestDaemon.start();
    const ctl = Ctl.of(daemon);
    const wrong = await ctl.run(["keys", "create", "a", "--scopes", "write"]);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("there is no scope 'write'")]);
    const time = await ctl.run(["keys", "create", "a", "--scopes", "read", "--expires", "soon"]);
    expect([time.code, time.err]).toEqual([2, expect.stringContaining("--expires 'soon' is no time")]);
    expect((await ctl.run(["keys", "create", "a"])).code).toBe(2);
  });
});
