import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventFrame, Instance, InstanceEvent } from "../../src/contract/index.ts";
import { KEY, TestDaemon, type TestSocket } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** `WS /events` and what should be, on the built binary. */

setDefaultTimeout(60_000);

const framesOf = (socket: TestSocket): EventFrame[] => socket.frames as unknown as EventFrame[];

/** What the frames add up to, as a page would keep it. */
const folded = (socket: TestSocket): Map<string, Instance> => {
  const instances = new Map<string, Instance>();
  for (const frame of framesOf(socket)) {
    if (frame.type === "snapshot") for (const one of frame.instances) instances.set(one.id, one);
    else if (frame.type === "instance") instances.set(frame.instance.id, frame.instance);
    else if (frame.type === "removed") instances.delete(frame.id);
  }
  return instances;
};

const happened = (socket: TestSocket): InstanceEvent[] =>
  framesOf(socket).flatMap((frame) => (frame.type === "event" ? [frame.event] : []));

describe.concurrent("events", () => {
  test("a subscriber sees what the list shows: create, start, change, stop, delete", async () => {
    await using daemon = await TestDaemon.start({});
    const before = await daemon.createFake();
    const socket = daemon.socket("/events");
    await until("the snapshot", () => socket.frames.length > 0);
    const [first] = framesOf(socket);
    expect(first).toMatchObject({ type: "snapshot", instances: [{ id: before.id }], pulls: [] });
    if (first?.type !== "snapshot") throw new Error("no snapshot");
    expect([first.states.length, first.memory?.memory_type]).toEqual([1, "RAM"]);
    const { id } = await daemon.createFake();
    await daemon.start(id);
    await until("it to run", () => folded(socket).get(id)?.status === "running");
    expect(folded(socket).get(id)).toEqual(await daemon.get(id));
    await daemon.request("PATCH", `/instances/${before.id}`, { config: { alias: "renamed" } });
    await until("the new name", () => folded(socket).get(before.id)?.config.alias === "renamed");
    await daemon.stop(id);
    await daemon.request("DELETE", `/instances/${id}`);
    await until("it to be gone", () => !folded(socket).has(id));
    socket.close();
  });

  test("states come as they change, of the instances that changed", async () => {
    await using daemon = await TestDaemon.start({});
    const { id } = await daemon.createFake();
    const { port } = (await daemon.start(id)).body.instance;
    const socket = daemon.socket("/events");
    await until("the snapshot", () => socket.frames.length > 0);
    await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: "POST",
      headers: { Authorization: "Bearer instance-key", "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "hello" }], max_tokens: 8 }),
    });
    const states = () => framesOf(socket).flatMap((frame) => (frame.type === "states" ? frame.states : []));
    await until("a state", () => states().some(({ instance_id }) => instance_id === id));
    socket.close();
  });

  test("with log=1 what happened comes in order, adoptions and what was before the connection too", async () => {
    await using daemon = await TestDaemon.start({});
    const { id } = await daemon.createFake();
    await daemon.start(id);
    await daemon.stop(id);
    const socket = daemon.socket("/events?log=1");
    await until("the past", () => happened(socket).length >= 5);
    const types = happened(socket).map(({ type, instance_id }) => [type, instance_id]);
    expect(types).toEqual(["created", "starting", "running", "stopping", "stopped"].map((type) => [type, id]));
    expect(happened(socket).map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4]);
    await daemon.start(id);
    await until("the start", () => happened(socket).at(-1)?.type === "running");
    await daemon.kill();
    await using next = await daemon.again();
    const again = next.socket("/events?log=1");
    await until("the adoption", () => happened(again).length >= 2);
    expect(happened(again).map(({ type }) => type)).toEqual(["adopted", "running"]);
    socket.close();
    again.close();
  });

  test("a wrong query, a wrong key and a request without an upgrade are refused in words", async () => {
    await using daemon = await TestDaemon.start({});
    const ask = (query: string, headers: Record<string, string>) =>
      fetch(`${daemon.url}/events${query}`, { headers: { "X-API-Key": KEY, ...headers } });
    const upgrade = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    const wrong = await ask("?log=maybe", upgrade);
    expect([wrong.status, JSON.stringify(await wrong.json())]).toEqual([422, expect.stringContaining("true or false")]);
    expect((await ask("", { ...upgrade, "X-API-Key": "wrong" })).status).toBe(401);
    const plain = await ask("", {});
    expect([plain.status, await plain.json()]).toEqual([426, { detail: "This is a WebSocket: ask for an upgrade" }]);
  });
});

describe.concurrent("what should be", () => {
  /** The daemon's config.json with another wish for its only instance. */
  const wish = (daemon: TestDaemon, desired: string): void => {
    const path = join(daemon.dir, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    config.instances[0].desired = desired;
    writeFileSync(path, JSON.stringify(config));
  };

  test("on-demand is kept and started by no boot; a start by a person makes it running, a stop stopped", async () => {
    await using daemon = await TestDaemon.start({});
    const { id } = await daemon.createFake();
    await daemon.kill();
    wish(daemon, "on-demand");
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "stopped", desired: "on-demand" });
    await next.request("PATCH", `/instances/${id}`, { config: { alias: "renamed" } });
    expect(next.configFile().instances[0]).toMatchObject({ desired: "on-demand" });
    await next.start(id);
    expect(next.configFile().instances[0]).toMatchObject({ desired: "running" });
    await next.stop(id);
    expect(next.configFile().instances[0]).toMatchObject({ desired: "stopped" });
  });

  test("stays on-demand where the config of one that runs is changed, with a restart and no wait", async () => {
    await using daemon = await TestDaemon.start({});
    const { id } = await daemon.createFake();
    const { pid } = (await daemon.start(id)).body.instance;
    await daemon.kill();
    wish(daemon, "on-demand");
    await using next = await daemon.again();
    expect(await next.get(id)).toMatchObject({ status: "running", pid, desired: "on-demand" });
    const { status } = await next.request("PATCH", `/instances/${id}?restart=true&wait=0`, { config: { threads: 2 } });
    expect(status).toBe(200);
    expect(await next.whenStatus(id, "running")).toMatchObject({ desired: "on-demand", config: { threads: 2 } });
    expect(next.configFile().instances[0]).toMatchObject({ desired: "on-demand" });
    // Of a library: a wait that is over before it begins.
    expect(next.stderr).not.toContain("Warning");
  });

  test("is all that config.json keeps of one that runs: its port and process are seen, and not stored", async () => {
    await using daemon = await TestDaemon.start({});
    const { id } = await daemon.createFake();
    await daemon.start(id);
    const expected = { status: "running", desired: "running", port: null, pid: null, started_at: null };
    expect(daemon.configFile().instances[0]).toMatchObject(expected);
  });
});
