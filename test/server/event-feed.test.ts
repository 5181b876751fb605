import { expect, test } from "bun:test";
import type { Instance, InstanceEvent, RuntimeState } from "../../src/contract/index.ts";
import { type Scope, scopes } from "../../src/contract/keys.ts";
import { EventFeed } from "../../src/server/event-feed.ts";
import { EventLog } from "../../src/supervisor/event-log.ts";
import { EventStream } from "../../src/supervisor/events.ts";
import type { Supervisor } from "../../src/supervisor/supervisor.ts";
import { until } from "../support/until.ts";

type Frame = { type: string; instance?: { error_message: string }; event?: InstanceEvent; states?: RuntimeState[] };

/** A socket that takes frames (1), keeps them until it drains (-1), or drops them (0), as Bun's does. */
const socketOf = () => {
  const frames: Frame[] = [];
  const socket = {
    answer: 1,
    send: (text: string) => {
      if (socket.answer !== 0) frames.push(JSON.parse(text));
      return socket.answer;
    },
  };
  return { socket, frames };
};

const instance = (error_message: string): Instance =>
  ({ id: "one", error_message, config: { alias: "a", api_key: "secret" } }) as Instance;
const state = (generated_tokens: number) => ({ instance_id: "one", generated_tokens }) as RuntimeState;

const setUp = (withLog: boolean, held: readonly Scope[] = scopes) => {
  const events = new EventStream();
  const log = new EventLog(events);
  const supervisor = {
    log,
    watch: (listener: Parameters<EventStream["subscribe"]>[0]) => ({
      instances: [],
      states: [],
      end: events.subscribe(listener),
    }),
  } as unknown as Supervisor;
  const { socket, frames } = socketOf();
  const feed = new EventFeed(socket as never, supervisor, null, { asker: { name: "owner", scopes: held }, withLog });
  const change = (message: string) => events.publish({ type: "changed", instance: instance(message), cause: null });
  const crash = (reason: string) =>
    events.publish({
      type: "changed",
      instance: { ...instance(reason), status: "starting" },
      cause: { transition: "crash", from: "running", reason },
    });
  const token = (count: number) =>
    events.publish({ type: "state", id: "one", change: { seq: 0, timestamp: "", state: state(count) } });
  return { feed, socket, frames, events, change, crash, token };
};

test("a subscriber gets the snapshot, then each change, and states together at most every 100 ms", async () => {
  const { frames, change, token, feed } = setUp(false);
  change("1");
  for (let count = 1; count <= 20; count++) token(count);
  change("2");
  expect(frames.map(({ type }) => type)).toEqual(["snapshot", "instance", "instance"]);
  await until("the states", () => frames.length === 4);
  expect(frames[3]?.states).toEqual([state(20)]);
  feed.close();
});

test.each([-1, 0])(
  "a slow subscriber (send gives %p) gets the newest when it can take more, and no change is lost",
  (full) => {
    const { feed, socket, frames, change } = setUp(false);
    socket.answer = full;
    change("1");
    change("2");
    change("3");
    socket.answer = 1;
    feed.drained();
    const messages = frames.flatMap(({ instance }) => instance?.error_message ?? []);
    expect(messages).toEqual(full === 0 ? ["3"] : ["1", "3"]);
    feed.close();
  },
);

test.each([-1, 0])("events of the log are never left out (send gives %p), and those before come first", (full) => {
  const { feed, socket, frames, crash } = setUp(true);
  crash("1");
  socket.answer = full;
  for (const reason of ["2", "3", "4"]) crash(reason);
  socket.answer = 1;
  feed.drained();
  expect(frames.flatMap(({ event }) => event?.detail ?? [])).toEqual(["1", "2", "3", "4"]);
  feed.close();
});

test("the log of events keeps the newest 500, numbered", () => {
  const events = new EventStream();
  const log = new EventLog(events);
  for (let n = 0; n < 600; n++) {
    events.publish({ type: "removed", id: String(n), config: { alias: "a" } as never, withLogs: false });
  }
  const { past } = log.watch(() => undefined);
  expect([past.length, past[0]?.seq, past.at(-1)?.seq, past[0]?.type]).toEqual([500, 100, 599, "deleted"]);
});

test("a subscriber that has left is told nothing more", () => {
  const { feed, frames, change, crash } = setUp(true);
  feed.close();
  change("1");
  crash("2");
  expect(frames.map(({ type }) => type)).toEqual(["snapshot"]);
});

test("a subscriber that may only read sees no key of an instance", () => {
  const { feed, frames, change } = setUp(false, ["read"]);
  change("1");
  expect(JSON.stringify(frames)).not.toContain("secret");
  expect(JSON.stringify(frames)).toContain("********");
  feed.close();
});
