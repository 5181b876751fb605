import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { crossOriginRules } from "../../src/server/cross-origin.ts";
import { TestDaemon } from "../support/daemon.ts";

setDefaultTimeout(60_000);

/** A daemon without a key, which is allowed on loopback, and web pages that the same machine's browser shows. */

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { API_KEY: "" } });
});
afterAll(() => daemon[Symbol.asyncDispose]());

/** What comes back for a request as it stands, which no client would send: status line, headers, body. */
const raw = (method: string, path: string, headers: string[], body = "", http = "1.1"): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(daemon.port, "127.0.0.1");
    const head = [`${method} ${path} HTTP/${http}`, ...headers, "Connection: close"];
    if (body !== "") head.push(`Content-Length: ${Buffer.byteLength(body)}`);
    socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
    socket.on("data", (data) => {
      answer += String(data);
      // A WebSocket that was opened stays open.
      if (answer.startsWith("HTTP/1.1 101")) socket.end();
    });
    socket.on("error", reject).on("close", () => resolve(answer));
  });

const statusOf = (answer: string): number => Number(answer.split(" ", 2)[1]);
const own = (): string => `Host: 127.0.0.1:${daemon.port}`;

const handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
handshake.push("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
const create = JSON.stringify({ config: { model_id: "m", alias: "a", api_key: "k", trust_remote_code: true } });

const foreignOrigins = [
  "http://evil.example",
  "https://evil.example:8001",
  "null",
  "",
  "http://127.0.0.1.evil.example",
  "http://localhost.evil.example",
  "http://localhost@evil.example",
  "http://evil.example#localhost",
  "http://192.168.1.2",
  "http://[::2]",
  "file://",
  "chrome-extension://localhost",
  "http://localhost, http://evil.example",
  "nonsense",
];
const ownOrigins = [
  "http://localhost",
  "http://localhost:3000",
  "https://LOCALHOST:3000",
  "http://127.0.0.1:8001",
  "http://127.8.9.1",
  "http://[::1]:5173",
  "http://app.localhost:5173",
];

describe("without a key, a web page of elsewhere", () => {
  const refused = (answer: string): void => {
    expect(statusOf(answer)).toBe(403);
    expect(answer.toLowerCase()).not.toContain("access-control-");
    expect(answer).toMatch(/\{"detail":".*Set API_KEY to allow others\."\}/);
  };

  test("creates nothing, whatever origin it has and whatever its body is said to be", async () => {
    for (const origin of foreignOrigins) {
      for (const type of ["text/plain", "application/json"]) {
        const headers = [own(), `Origin: ${origin}`, `Content-Type: ${type}`];
        refused(await raw("POST", "/instances", headers, create));
      }
    }
    expect((await daemon.request("GET", "/instances")).body).toEqual([]);
  });

  test("has no preflight and opens no WebSocket, on open paths neither", async () => {
    for (const origin of foreignOrigins) {
      const headers = [own(), `Origin: ${origin}`];
      refused(await raw("OPTIONS", "/instances", [...headers, "Access-Control-Request-Method: PUT"]));
      refused(await raw("GET", "/instances/x/logs", [...headers, ...handshake]));
      refused(await raw("GET", "/instances/x/state", [...headers, ...handshake]));
      refused(await raw("GET", "/health", headers));
    }
  });

  test("does not come in by a name of its own that points here", async () => {
    const names = [
      "evil.example",
      `evil.example:${daemon.port}`,
      "127.0.0.1.evil.example",
      "192.168.1.2",
      "a@localhost",
    ];
    for (const name of [...names, "localhost/", "[::2]", "[::ffff:10.0.0.1]", "0.0.0.0", "local host", "localhost:x"]) {
      refused(await raw("GET", "/instances", [`Host: ${name}`]));
      refused(await raw("POST", "/instances", [`Host: ${name}`, `Origin: http://${name}`], create));
      refused(await raw("GET", "/instances/x/logs", [`Host: ${name}`, ...handshake]));
    }
    refused(await raw("GET", "/instances", [own(), "Host: evil.example"]));
    refused(await raw("GET", "/instances", ["Host: evil.example", own()]));
  });

  test("is known by what the browser says of the site, where it sends no origin", async () => {
    const site = [own(), "Sec-Fetch-Site: cross-site"];
    refused(await raw("GET", "/instances", [...site, "Sec-Fetch-Mode: no-cors"]));
    refused(await raw("POST", "/instances", [...site, "Sec-Fetch-Mode: navigate"], create));
    expect(statusOf(await raw("GET", "/docs", [...site, "Sec-Fetch-Mode: navigate"]))).toBe(200);
  });
});

describe("without a key, this machine", () => {
  test("comes in by every spelling of its own address, and where no host is named", async () => {
    const names = ["localhost", "LocalHost:8001", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]:8001", "2130706433"];
    for (const name of [...names, "[::ffff:127.0.0.1]", "a.localhost", "127.0.0.1.", ""]) {
      expect([name, statusOf(await raw("GET", "/instances", [`Host: ${name}`]))]).toEqual([name, 200]);
    }
    expect(statusOf(await raw("GET", "/instances", [], "", "1.0"))).toBe(200);
  });

  test("has pages that may call, and may read what is answered them alone", async () => {
    for (const origin of ownOrigins) {
      const headers = [own(), `Origin: ${origin}`];
      const listed = await raw("GET", "/instances", headers);
      expect([origin, statusOf(listed)]).toEqual([origin, 200]);
      expect(listed.toLowerCase()).toContain(`access-control-allow-origin: ${origin}\r\n`.toLowerCase());
      const preflight = await raw("OPTIONS", "/instances", [...headers, "Access-Control-Request-Method: PUT"]);
      expect([statusOf(preflight), preflight.includes("PUT")]).toEqual([204, true]);
      expect(statusOf(await raw("GET", "/instances/x/logs", [...headers, ...handshake]))).toBe(101);
    }
    expect((await raw("GET", "/instances", [own()])).toLowerCase()).not.toContain("access-control-allow-origin");
  });

  test("creates with curl as ever, whatever type its body has", async () => {
    for (const type of [
      "Content-Type: application/x-www-form-urlencoded",
      "Content-Type: application/json",
      "X: none",
    ]) {
      expect([type, statusOf(await raw("POST", "/instances", [own(), type], create))]).toEqual([type, 200]);
    }
  });
});

test("with a key, an answer is readable by every page, of a fault too that is told without its request", () => {
  for (const origin of [...foreignOrigins, ...ownOrigins]) {
    const request = { method: "GET", headers: new Headers({ origin, host: "evil.example" }) };
    const pages = crossOriginRules("a key");
    expect(pages.refuse(request)).toBeNull();
    for (const asked of [request, null]) {
      expect(pages.readable(asked, new Response()).headers.get("access-control-allow-origin")).toBe("*");
    }
  }
  expect(crossOriginRules("").readable(null, new Response()).headers.has("access-control-allow-origin")).toBe(false);
});
