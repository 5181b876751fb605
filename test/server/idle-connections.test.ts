import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { listen } from "../../src/server/listen.ts";
import { EventStream } from "../../src/supervisor/events.ts";
import type { Supervisor } from "../../src/supervisor/supervisor.ts";
import { noKeys } from "../support/keys.ts";
import { until } from "../support/until.ts";

/** SOLAR_TEST_LONG=1 tries it with the limit that the daemon has. */
const IDLE_SECONDS = process.env.SOLAR_TEST_LONG === undefined ? 4 : 60;
/** The runtime looks every four seconds, and gives a connection that never spoke eight more. */
const LATEST_MS = (IDLE_SECONDS + 20) * 1000;
const KEY = "key";

setDefaultTimeout(8 * LATEST_MS);

let server: Awaited<ReturnType<typeof listen>>["server"];
/** Operations under way: each lasts until the test lets it go. */
const underWay: (() => void)[] = [];

beforeAll(async () => {
  const operation = () => new Promise<void>((done) => underWay.push(done));
  const instance = { view: {}, lifecycle: { start: operation, stop: operation, restart: operation } };
  const events = new EventStream();
  const supervisor = { get: () => instance, refuseAtEnd: () => undefined, events } as unknown as Supervisor;
  const settings = { HOST: "127.0.0.1", PORT: 0, START_WAIT: 20 };
  ({ server } = await listen(settings, KEY, noKeys, supervisor, { error: () => undefined }, IDLE_SECONDS));
});
afterAll(() => server.stop(true));

/** A connection that sends this and then nothing. */
class Client {
  received = "";
  closed = false;
  private readonly socket = connect(server.port ?? 0, "127.0.0.1");

  constructor(sent: string) {
    if (sent !== "") this.socket.write(sent);
    this.socket.on("data", (data) => {
      this.received += String(data);
    });
    this.socket
      .on("error", () => undefined)
      .on("close", () => {
        this.closed = true;
      });
  }

  isClosed(): Promise<unknown> {
    return until("the connection to be closed", () => this.closed, LATEST_MS);
  }

  leave(): void {
    this.socket.destroy();
  }
}

const request = (line: string, ...headers: string[]): string =>
  `${[`${line} HTTP/1.1`, "Host: localhost", ...headers].join("\r\n")}\r\n\r\n`;
const withKey = `X-API-Key: ${KEY}`;
const upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];

describe.concurrent("an idle connection is closed", () => {
  const idle: [string, string][] = [
    ["that never spoke", ""],
    ["with half a head", "GET /health HT"],
    ["with half a body, without the key", `${request("POST /instances", "Content-Length: 10")}ab`],
    ["with half a body, with the key", `${request("POST /instances", withKey, "Content-Length: 10")}ab`],
    ["with half a chunk", `${request("POST /instances", withKey, "Transfer-Encoding: chunked")}5\r\nab`],
    [
      "that waits to be told to go on",
      request("POST /instances", withKey, "Content-Length: 9", "Expect: 100-continue"),
    ],
    ["after an open path", request("GET /health")],
    ["after an answer with the key", request("GET /no/such/path", withKey)],
    ["after a preflight of an operation", request("OPTIONS /instances/x/start")],
    ["after a WebSocket that was refused", request("GET /instances/x/logs", ...upgrade)],
    ...["start", "stop", "restart"].flatMap((verb): [string, string][] => [
      [`after a ${verb} without the key`, request(`POST /instances/x/${verb}`)],
      [`after a ${verb} with a wrong key`, request(`POST /instances/x/${verb}`, "X-API-Key: wrong")],
      [
        `after a ${verb} without the key and with half a body`,
        `${request(`POST /instances/x/${verb}`, "Content-Length: 9")}a`,
      ],
      [`after a ${verb} that asked for a WebSocket`, request(`POST /instances/x/${verb}`, ...upgrade)],
      [`after a GET of a ${verb}, with the key`, request(`GET /instances/x/${verb}`, withKey)],
    ]),
    ["after a start with a wait that is none", request("POST /instances/x/start?wait=soon", withKey)],
  ];
  for (const [name, sent] of idle) test(name, () => new Client(sent).isClosed());
});

describe("an operation", () => {
  test("lasts longer than the limit, and its connection is closed like others once it was answered", async () => {
    const clients = ["start", "stop", "restart"].map(
      (verb) => new Client(request(`POST /instances/x/${verb}`, withKey)),
    );
    clients.push(new Client(`${request("POST /instances/x/start", withKey, "Content-Length: 9")}a`));
    await until("the operations to be under way", () => underWay.length === clients.length);
    // One after the other, so that the operations are surely over the limit.
    for (let round = 0; round < 2; round++) await new Client(request("GET /health")).isClosed();
    expect(clients.map(({ closed, received }) => [closed, received])).toEqual(clients.map(() => [false, ""]));
    for (const done of underWay.splice(0)) done();
    await until("the answers", () => clients.every(({ received }) => received.startsWith("HTTP/1.1 200")));
    for (const client of clients) await client.isClosed();
  });

  test("whose client leaves does no harm", async () => {
    const client = new Client(request("POST /instances/x/start", withKey));
    await until("the operation to be under way", () => underWay.length === 1);
    client.leave();
    await until("the client to be gone", () => client.closed && server.pendingRequests === 0);
    for (const done of underWay.splice(0)) done();
    const next = new Client(request("GET /health"));
    await until("an answer", () => next.received.startsWith("HTTP/1.1 200"));
    next.leave();
  });
});
