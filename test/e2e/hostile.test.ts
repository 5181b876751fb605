import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { listOf } from "../support/invariants.ts";
import { residentMib } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** Clients that mean harm, or do it: none keeps another one waiting, gets a 5xx, or reaches what is not its own. */

setDefaultTimeout(120_000);

/** Others are answered in this time whatever goes on, on a machine that is shared with the tests. */
const BEARABLE_MS = 3000;

const expectUnharmed = async (daemon: TestDaemon): Promise<void> => {
  const began = performance.now();
  expect((await daemon.request("GET", "/instances")).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(BEARABLE_MS);
  expect(daemon.process.exitCode).toBeNull();
  expect(daemon.stderr).not.toContain("unexpected error");
};

const open = (daemon: TestDaemon): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(daemon.port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });

/** Sends these very bytes; gives what comes back until the other side closes or a whole answer is there. */
const sendRaw = async (daemon: TestDaemon, text: string): Promise<string> => {
  const socket = await open(daemon);
  const received: string[] = [];
  let closed = false;
  socket.on("data", (chunk) => received.push(chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed = true;
  });
  socket.write(text, "latin1");
  const answer = await until(`an answer to ${JSON.stringify(text.slice(0, 60))}`, () => {
    const said = received.join("");
    const [head = "", body] = said.split("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    return closed || (body !== undefined && body.length >= length) ? { said } : null;
  });
  socket.destroy();
  return answer.said;
};

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);

const get = (path: string, headers: string[] = [`X-API-Key: ${KEY}`]): string =>
  [`GET ${path} HTTP/1.1`, "Host: x", ...headers, "\r\n"].join("\r\n");

describe.concurrent("bodies", () => {
  test("that never end are given up at 1 MiB, and cost no memory", async () => {
    await using daemon = await TestDaemon.start();
    await daemon.request("GET", "/openapi.json");
    const before = residentMib(daemon.process.pid);
    const mebibyte = "x".repeat(1024 * 1024);
    const heads = ["Content-Length: 120000000", "Content-Length: 99999999999", "Transfer-Encoding: chunked"];
    for (const head of [...heads, ...heads, ...heads]) {
      const socket = await open(daemon);
      let said = "";
      let closed = false;
      socket.on("data", (chunk) => {
        said += chunk.toString("latin1");
      });
      socket.on("close", () => {
        closed = true;
      });
      socket.on("error", () => undefined);
      socket.write(`POST /instances HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n${head}\r\n\r\n`);
      for (let sent = 0; sent < 40 && !closed && said === ""; sent++) {
        const piece = head.startsWith("Transfer") ? `100000\r\n${mebibyte}\r\n` : mebibyte;
        if (!socket.write(piece)) {
          await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), Bun.sleep(500)]);
        }
      }
      await until("it to be refused", () => closed || said !== "");
      if (said !== "") expect([head, statusOf(said)]).toEqual([head, 413]);
      socket.destroy();
    }
    await expectUnharmed(daemon);
    expect(residentMib(daemon.process.pid) - before).toBeLessThan(100);
    expect(await listOf(daemon)).toEqual([]);
  });

  test("that say that they are larger than anything are refused like all others, and by the key first", async () => {
    await using daemon = await TestDaemon.start();
    for (const length of [1024 * 1024 + 1, 128 * 1024 * 1024 + 1, 99_999_999_999]) {
      for (const [key, status] of [["wrong", 401] as const, [KEY, 413] as const]) {
        const head = `POST /instances HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\nContent-Length: ${length}\r\n\r\n`;
        const answer = await sendRaw(daemon, head);
        expect([length, statusOf(answer)]).toEqual([length, status]);
        expect(answer.toLowerCase()).toContain("access-control-allow-origin: *");
        expect(answer).toContain('{"detail":"');
      }
    }
    await expectUnharmed(daemon);
  });

  test("that come a byte at a time keep no other client waiting", async () => {
    await using daemon = await TestDaemon.start();
    const sockets = await Promise.all(Array.from({ length: 300 }, () => open(daemon)));
    for (const [n, socket] of sockets.entries()) {
      socket.on("error", () => undefined);
      // Half of them do not even come to the end of their headers.
      const head = `POST /instances HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nContent-Length: 5000`;
      socket.write(n % 2 === 0 ? `${head}\r\n\r\n{` : head);
    }
    for (let round = 0; round < 20; round++) {
      for (const socket of sockets) socket.write(" ");
      await expectUnharmed(daemon);
    }
    expect((await daemon.createFake()).status).toBe("stopped");
    for (const socket of sockets) socket.destroy();
  });
});

describe.concurrent("connections", () => {
  test("1000 of them that say nothing keep no other client waiting", async () => {
    await using daemon = await TestDaemon.start();
    const sockets: Socket[] = [];
    for (let n = 0; n < 10; n++) {
      sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => open(daemon)))));
    }
    for (const socket of sockets) socket.on("error", () => undefined);
    await expectUnharmed(daemon);
    const { id } = await daemon.createFake();
    expect((await daemon.start(id)).body.instance.status).toBe("running");
    const log = daemon.socket(`/instances/${id}/logs`);
    await until("a line", () => log.frames.length > 0);
    expect(sockets.filter((socket) => !socket.destroyed).length).toBe(1000);
    for (const socket of sockets) socket.destroy();
    log.close();
    await expectUnharmed(daemon);
  });

  test("that are to become WebSockets and cannot are refused, and do no harm", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const path = `/instances/${id}/logs`;
    const key = `X-API-Key: ${KEY}`;
    const upgrade = ["Connection: Upgrade", "Upgrade: websocket"];
    const nonce = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const version = "Sec-WebSocket-Version: 13";
    const bad: string[] = [
      get(path, [key, ...upgrade]),
      get(path, [key, ...upgrade, version]),
      get(path, [key, ...upgrade, version, "Sec-WebSocket-Key: short"]),
      get(path, [key, "Connection: Upgrade", "Upgrade: h2c", nonce, version]),
      get(path, [...upgrade, nonce, version]),
      get(path, [...upgrade, nonce, version, "Sec-WebSocket-Protocol: solar-host, key.%%%%"]),
      get(path, [...upgrade, nonce, version, `Sec-WebSocket-Protocol: ${"key.a, ".repeat(500)}solar-host`]),
      get(`${path}?after=x`, [key, ...upgrade, nonce, version]),
      get(`${path}?after=${"9".repeat(400)}`, [key, ...upgrade, nonce, version]),
      get("/instances/%/logs", [...upgrade, nonce, version]),
      get(path, [key, ...upgrade, nonce, version]).replace("GET", "POST"),
      `GET ${path} HTTP/1.0\r\n${key}\r\n\r\n`,
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "GET\r\n\r\n",
      `GET ${path} HTTP/1.1\r\nHost: x\r\n${"X-Long: y\r\n".repeat(5000)}\r\n`,
    ];
    for (const text of bad) {
      const status = statusOf(await sendRaw(daemon, text));
      // 0 is a connection that was closed without an answer: what it said was no HTTP.
      expect([text.slice(0, 80), status === 101 || status >= 500]).toEqual([text.slice(0, 80), false]);
    }
    await expectUnharmed(daemon);
  });
});

describe.concurrent("a Host header", () => {
  const hosts = ["Host: a b", "Host:", "Host: x:99999", "Host: [::1", "Host: u@h", "Host: x/health?", "Host: x/docs#"];
  const socket = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
  const key = `X-API-Key: ${KEY}`;
  /** HTTP/1.0 has none; what is asked for is all the same. */
  const asked = (path: string, host: string | null, headers: string[], method = "GET"): string =>
    [`${method} ${path} HTTP/1.${host === null ? 0 : 1}`, ...(host === null ? [] : [host]), ...headers, "\r\n"].join(
      "\r\n",
    );

  test("that is none, or is missing, changes nothing: routes, the key and WebSockets go by the path", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const body = ["Transfer-Encoding: chunked", "\r\n0\r\n\r\n"].join("\r\n");
    for (const host of [...hosts, null]) {
      const answers: [string, number][] = [
        [asked("/health", host, []), 200],
        [asked("/docs/assets/favicon.png", host, ["Range: bytes=0-0"]), 200],
        [asked("/instances?x=/health", host, []), 401],
        [asked("/anything?api_key=TOPSECRET", host, socket), 401],
        [asked(`/instances/${id}/logs?api_key=TOPSECRET`, host, socket), 401],
        [asked("/instances", host, [key]), 200],
        [asked(`/instances/${id}/logs?tail=1`, host, [key]), 200],
        [asked(`/instances/${id}/logs?tail=x`, host, [key]), 422],
        [asked(`/instances/${id}/logs?tail=x`, host, [key, ...socket]), 422],
        [asked("/no/such/path", host, [key]), 404],
        [asked("/instances", host, [key, "Content-Length: 2"], "POST").concat("{}"), 422],
        ...(host === null ? [] : [[asked("/instances", host, [key, body], "POST"), 422] as [string, number]]),
      ];
      for (const [text, status] of answers)
        expect([text, statusOf(await sendRaw(daemon, text))]).toEqual([text, status]);
    }
    await expectUnharmed(daemon);
    expect(daemon.stderr).not.toContain("TOPSECRET");
  });

  test("of a socket's request is of no matter either", async () => {
    await using daemon = await TestDaemon.start();
    const handshake = [key, ...socket, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    const { id } = await daemon.createFake();
    for (const host of hosts) {
      const answer = await sendRaw(daemon, asked(`/instances/${id}/state`, host, handshake));
      expect([host, statusOf(answer)]).toEqual([host, 101]);
    }
    await expectUnharmed(daemon);
  });
});

describe.concurrent("paths that lead elsewhere", () => {
  test("lead nowhere: 404 or refused, never a 5xx, never a file", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    const parts = [
      ...[
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "..",
        "%00",
        "%FF",
        "%C0%AE%C0%AE",
        "%",
        "%zz",
        "%5c..%5c",
        "~",
        "*",
      ],
      ...[
        `${id}%00`,
        `${id}%2f..%2f${id}`,
        `${id.toUpperCase()}0`,
        "a".repeat(6000),
        "%F0%9F%A6%99".repeat(100),
        "__proto__",
      ],
    ];
    const routes = ["", "/logs", "/state", "/last-generation", "/start", "/stop", "/restart", "/nope"];
    for (const part of parts) {
      for (const route of routes) {
        const method = /start|stop/.test(route) ? "POST" : "GET";
        const answer = await sendRaw(daemon, get(`/instances/${part}${route}`).replace("GET", method));
        const status = statusOf(answer);
        const where = `${method} /instances/${part.slice(0, 40)}${route}: ${status}`;
        // ".." alone is resolved before the route is looked up: that is another path then, a list at the most.
        const resolved = /^(\.\.|%2e%2e)$/.test(part);
        expect([where, resolved ? status < 500 : [400, 404, 405, 414, 431].includes(status)]).toEqual([where, true]);
        if (status === 404) expect(answer).toContain('{"detail":');
        expect(answer).not.toContain("root:");
      }
    }
    for (const path of ["/docs/assets/..%2f..%2f..%2fetc/passwd", "/docs/assets/../../../etc/passwd", "//etc/passwd"]) {
      const answer = await sendRaw(daemon, get(path, []));
      expect([path, [401, 404, 400].includes(statusOf(answer)), answer.includes("root:")]).toEqual([path, true, false]);
    }
    await expectUnharmed(daemon);
  });
});

describe.concurrent("an alias or a host", () => {
  const commandOf = (daemon: TestDaemon, { id }: Instance): string[] =>
    JSON.parse(readFileSync(join(daemon.dir, ".solar-host/instances", `${id}.launch.json`), "utf8")).command;

  test("is one argument of the child, and names no file outside the logs", async () => {
    await using daemon = await TestDaemon.start();
    const aliases = [
      "../../escape",
      "/etc/passwd",
      "a/../../b",
      ".",
      "..",
      "%2e%2e%2fx",
      "a b;$(id)`id`",
      "x\u202ey",
      "é".repeat(256),
    ];
    for (const alias of aliases) {
      const { id } = await daemon.createFake({}, { alias, host: "127.0.0.1" });
      const { instance } = (await daemon.start(id)).body;
      const command = commandOf(daemon, instance);
      expect(command[command.indexOf("--alias") + 1]).toBe(alias);
      expect(command.filter((part) => part === alias)).toEqual([alias]);
      expect(join(String(instance.log_file), "..")).toBe(join(daemon.dir, "logs"));
    }
    expect(readdirSync(join(daemon.dir, "logs")).length).toBe(aliases.length);
    const logs = [...new Bun.Glob("**/*.log").scanSync({ cwd: daemon.dir, dot: true })];
    expect(logs.filter((name) => !/^logs\/[^/]+$/.test(name))).toEqual([]);
    expect(readdirSync(join(daemon.dir, "..")).filter((name) => name.includes("escape"))).toEqual([]);
  });

  test("that looks like a flag, or like more than one word, is refused", async () => {
    await using daemon = await TestDaemon.start();
    const good = { model: "/m.gguf", alias: "a", api_key: "k" };
    const bad = [
      ...["--help", "-m", "-", "--api-key=x", "a\0b", "a\nb", "a".repeat(257), ""].map((alias) => ({ alias })),
      ...["--port=1", "-h", "127.0.0.1 --x", "a\0", "a\nb", "$(id)", "http://x", "a/b", "x".repeat(300)].map(
        (host) => ({
          host,
        }),
      ),
    ];
    for (const fields of bad) {
      const { status } = await daemon.request("POST", "/instances", { config: { ...good, ...fields } });
      expect([fields, status]).toEqual([fields, 422]);
    }
    expect(await listOf(daemon)).toEqual([]);
  });
});

describe.skipIf(process.platform !== "linux")("secrets", () => {
  const daemonKey = "daemon-secret-4711";
  const instanceKey = "instance-secret-0815";

  const commandLines = (): string =>
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, "utf8");
        } catch {
          return "";
        }
      })
      .join("\n");

  test("stand in no command line, log, record, error or description, and a child knows its own alone", async () => {
    await using daemon = await TestDaemon.start({ env: { API_KEY: daemonKey, LOG_LEVEL: "debug", MAX_RETRIES: "1" } });
    const ask = (method: string, path: string, body?: unknown, headers = { "X-API-Key": daemonKey }) =>
      daemon.request<{ instance: Instance }>(method, path, body, headers);
    const config = { model: join(daemon.dir, "model.json"), alias: "a", api_key: instanceKey, host: "127.0.0.1" };
    await Bun.write(config.model, "{}");
    const { instance } = (await ask("POST", "/instances", { config })).body;
    const started = (await ask("POST", `/instances/${instance.id}/start`)).body.instance;
    expect(started.status).toBe("running");
    const environment = readFileSync(`/proc/${started.pid}/environ`, "utf8");
    expect([environment.includes(instanceKey), environment.includes(daemonKey)]).toEqual([true, false]);
    expect(commandLines()).not.toContain("secret-");
    // What goes wrong with a secret in it.
    const wrong = await Promise.all([
      ask("GET", `/instances?api_key=${daemonKey}`, undefined, { "X-API-Key": "wrong-secret-" }),
      ask("POST", "/instances", { config: { ...config, alias: null, threads: "many" } }),
      ask("POST", "/instances", { config: { ...config, api_key: [instanceKey] } }),
      ask("POST", "/instances", JSON.stringify({ config }).slice(0, -3)),
      ask("POST", "/instances", { config: JSON.stringify(config) }),
      ask("PUT", `/instances/${instance.id}`, { config }),
      ask("GET", `/instances/${instanceKey}`),
    ]);
    expect(wrong.map(({ status }) => status)).toEqual([401, 422, 422, 422, 422, 400, 404]);
    expect(JSON.stringify(wrong.map(({ body }) => body))).not.toContain("secret-");
    expect(JSON.stringify((await ask("GET", "/openapi.json")).body)).not.toContain("secret-");
    await ask("POST", `/instances/${instance.id}/stop`);
    const files = [...new Bun.Glob("**/*").scanSync({ cwd: daemon.dir, dot: true })].map((name) =>
      join(daemon.dir, name),
    );
    // A save may be under way: of its file, as of the one that it becomes.
    const holders = files.filter((path) => existsSync(path) && readFileSync(path, "latin1").includes("secret-"));
    const named = holders.map((path) =>
      (path.slice(daemon.dir.length).split("/")[1] ?? "").replace(/\.\d+\.tmp.*/, ""),
    );
    // The configuration, and the record by which clients on this machine find the daemon: both are the owner's alone.
    expect([...new Set(named)].sort()).toEqual(["config.json", "config.json.bak", "xdg-state"]);
    for (const path of holders) {
      const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
      expect([path, mode & 0o077]).toEqual([path, 0]);
    }
    expect(daemon.stderr).not.toContain("secret-");
    expect(daemon.stderr).toContain("debug");
  });
});
