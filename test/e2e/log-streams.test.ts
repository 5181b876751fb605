import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, renameSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Instance, LogLine } from "../../src/contract/index.ts";
import { KEY, TestDaemon, type TestSocket } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** Logs from a child's write to a client, on the built binary. */

setDefaultTimeout(60_000);

interface Written {
  first: number;
  last: number;
  ms: number;
}

/** Has the fake server write; resolves when it has. */
const write = async (instance: Instance, query: string, raw?: Uint8Array<ArrayBuffer>): Promise<Written> => {
  const answer = await fetch(`http://127.0.0.1:${instance.port}/write?${query}`, {
    method: "POST",
    headers: { Authorization: "Bearer instance-key" },
    ...(raw === undefined ? {} : { body: raw }),
  });
  return (await answer.json()) as Written;
};

const running = async (daemon: TestDaemon, fault: Record<string, unknown> = {}, config = {}): Promise<Instance> => {
  const { id } = await daemon.createFake(fault, config);
  const { status, body } = await daemon.start(id);
  expect([status, body.detail]).toEqual([200, undefined as never]);
  return body.instance;
};

const linesOf = (socket: TestSocket): LogLine[] =>
  socket.frames.filter((frame) => "seq" in frame) as unknown as LogLine[];

const lastLine = (socket: TestSocket): string => String(socket.frames.at(-1)?.line ?? "");

/** Each seq once and in order, from the first frame to the last. */
const expectUnbroken = (lines: readonly LogLine[]): void => {
  const first = lines[0]?.seq ?? 0;
  expect(lines.findIndex(({ seq }, n) => seq !== first + n)).toBe(-1);
};

const rssOf = (pid: number): number => {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
};

/** A subscriber that shakes hands and then reads nothing any more. */
const stalled = async (daemon: TestDaemon, path: string): Promise<{ end(): void }> => {
  const socket = connect(daemon.port, "127.0.0.1");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("data", () => {
      socket.pause();
      resolve();
    });
    socket.write(
      [
        `GET ${path} HTTP/1.1`,
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        `X-API-Key: ${KEY}`,
        "\r\n",
      ].join("\r\n"),
    );
  });
  return { end: () => socket.destroy() };
};

describe("a log over the WebSocket", () => {
  test("replays what is in memory and goes on with what comes, each line once", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "20" } });
    const instance = await running(daemon);
    await write(instance, "lines=100");
    await until("all lines", async () =>
      (await daemon.logs(instance.id, "?tail=1"))[0]?.line.startsWith("line 000100"),
    );
    const socket = daemon.socket(`/instances/${instance.id}/logs`);
    await until("the replay", () => lastLine(socket).startsWith("line 000100"));
    expect(socket.frames).toHaveLength(20);
    for (const frame of socket.frames) {
      expect(Object.keys(frame)).toEqual(["seq", "timestamp", "line"]);
      expect(frame.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    await write(instance, "lines=50");
    await until("the new lines", () => lastLine(socket).startsWith("line 000150"));
    expectUnbroken(linesOf(socket));
    expect(socket.frames).toHaveLength(70);
  });

  test("loses nothing between replay and stream, whenever a client comes", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    const writing = write(instance, "lines=3000&rate=6000");
    const sockets: TestSocket[] = [];
    for (let n = 0; n < 15; n++) {
      sockets.push(daemon.socket(`/instances/${instance.id}/logs${n % 2 === 0 ? "" : "?after=-1"}`));
      await Bun.sleep(25);
    }
    await writing;
    for (const socket of sockets) {
      await until("the last line", () => lastLine(socket).startsWith("line 003000"));
      expectUnbroken(linesOf(socket));
    }
  });

  test("resumes behind `after`, is cut by `tail`, and REST gives the very same lines", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "10" } });
    const instance = await running(daemon);
    await write(instance, "lines=500");
    const path = `/instances/${instance.id}/logs`;
    const all = await until("all lines", async () => {
      const lines = await daemon.logs(instance.id, "?after=-1");
      return lines.at(-1)?.line.startsWith("line 000500") ? lines : null;
    });
    expectUnbroken(all);
    expect(all[0]?.seq).toBe(0);
    const last = all.at(-1)?.seq ?? 0;
    const queries: [string, LogLine[]][] = [
      ["?after=-1", all],
      ["?after=100", all.slice(101)],
      [`?after=${last - 3}`, all.slice(-3)],
      [`?after=${last}`, []],
      ["?tail=7", all.slice(-7)],
      ["?tail=0", []],
      ["?tail=100000", all],
      ["?after=100&tail=5", all.slice(-5)],
      [`?after=${last - 3}&tail=400`, all.slice(-3)],
      ["", all.slice(-10)],
    ];
    const sockets = queries.map(([query]) => daemon.socket(`${path}${query}`));
    await Promise.all(sockets.map((socket) => socket.opened));
    for (const [query, expected] of queries)
      expect([query, await daemon.logs(instance.id, query)]).toEqual([query, expected]);
    await write(instance, "lines=1");
    for (const [n, [query, expected]] of queries.entries()) {
      const socket = sockets[n] as TestSocket;
      await until("the new line", () => lastLine(socket).startsWith("line 000501"));
      expect([query, socket.frames.slice(0, -1)]).toEqual([query, expected as never]);
    }
  });

  test("pages over REST: `limit`, then on with the last seq", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    await write(instance, "lines=25000");
    await until("all lines", async () =>
      (await daemon.logs(instance.id, "?tail=1"))[0]?.line.startsWith("line 025000"),
    );
    const pages: LogLine[][] = [];
    for (let after = -1; ; ) {
      const page = await daemon.logs(instance.id, `?after=${after}&limit=10000`);
      if (page.length === 0) break;
      pages.push(page);
      after = page.at(-1)?.seq ?? 0;
    }
    expect(pages.map((page) => page.length).slice(0, 2)).toEqual([10_000, 10_000]);
    expectUnbroken(pages.flat());
    expect((await daemon.logs(instance.id, "?after=-1")).length).toBe(1000);
    expect((await daemon.logs(instance.id, "?limit=3")).length).toBe(3);
    for (const query of ["limit=10001", "limit=0", "limit=x", "after=x", "after=-2", "tail=-1", "tail=1.5"]) {
      const { status, body } = await daemon.request<{ detail: { loc: string[]; input: string }[] }>(
        "GET",
        `/instances/${instance.id}/logs?${query}`,
      );
      const [name, value] = query.split("=");
      expect([query, status, body.detail[0]?.loc, body.detail[0]?.input]).toEqual([
        query,
        422,
        ["query", name],
        value,
      ] as never);
    }
  });
});

describe("200,000 lines at full speed", () => {
  test("reach a follower each once and in order, while stalled ones cost neither memory nor delay", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    const path = `/instances/${instance.id}/logs?after=-1`;
    const stuck = await Promise.all(Array.from({ length: 8 }, () => stalled(daemon, path)));
    const follower = daemon.socket(path);
    await follower.opened;
    const before = rssOf(daemon.process.pid);
    await write(instance, "lines=200000");
    await until("the last line", () => lastLine(follower).startsWith("line 200000"));
    const lines = linesOf(follower);
    expectUnbroken(lines);
    expect(lines[0]?.seq).toBe(0);
    const numbered = lines.filter(({ line }) => line.startsWith("line ")).map(({ line }) => Number(line.slice(5, 11)));
    expect(numbered.length).toBe(200_000);
    expect(numbered.findIndex((number, n) => number !== n + 1)).toBe(-1);
    // As frames, 400,000 are 50 MB: what is kept for eight who do not read would show.
    await write(instance, "lines=200000");
    await until("the very last line", () => lastLine(follower).startsWith("line 400000"));
    expect(rssOf(daemon.process.pid) - before).toBeLessThan(120 * 1024 * 1024);
    // And a request now is not kept waiting.
    const began = performance.now();
    await daemon.request("GET", "/instances");
    expect(performance.now() - began).toBeLessThan(10_000);
    for (const one of stuck) one.end();
  });

  test("are all there for one that reads slowly, from the file", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "100" } });
    const instance = await running(daemon);
    const socket = connect(daemon.port, "127.0.0.1");
    const received: Buffer[] = [];
    let bytes = 0;
    socket.on("data", (chunk) => {
      received.push(Buffer.from(chunk));
      bytes += chunk.length;
      // Reads on only after a pause, so that the daemon finds it full again and again.
      if (received.length % 20 === 0) {
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      }
    });
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    socket.write(
      `GET /instances/${instance.id}/logs?after=-1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-API-Key: ${KEY}\r\n\r\n`,
    );
    await until("the handshake", () => bytes > 0);
    await write(instance, "lines=60000");
    const text = await until(
      "the last line",
      () => {
        const tail = Buffer.concat(received.slice(-4)).toString("latin1");
        return tail.includes("line 060000") ? Buffer.concat(received).toString("latin1") : null;
      },
      60_000,
    );
    const seqs = [...text.matchAll(/\{"seq":(\d+),/g)].map((match) => Number(match[1]));
    expect(seqs[0]).toBe(0);
    expect(seqs.findIndex((seq, n) => seq !== n)).toBe(-1);
    expect(seqs.length).toBeGreaterThan(60_000);
    socket.destroy();
  });
});

describe("lines of every kind", () => {
  test("arrive as they are: 10 MB, no UTF-8, carriage returns, colours, and a last one without an end", async () => {
    await using daemon = await TestDaemon.start();
    const raw = Buffer.concat([
      Buffer.from("10%\r20%\r\n\r\n"),
      Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x00, 0x0a]),
      Buffer.from("\u001b[31mred\u001b[0m\n日本\nno end"),
    ]);
    const { id } = await daemon.createFake({ longLineBytes: 10_000_000 });
    await daemon.start(id);
    const instance = await daemon.get(id);
    const socket = daemon.socket(`/instances/${id}/logs?after=-1`);
    await write(instance, "", new Uint8Array(raw));
    await until("the lines", () => linesOf(socket).some(({ line }) => line === "日本"));
    await daemon.stop(id);
    const expected = ["10%", "20%", "", "a\ufffd\ufffd", "\0", "\u001b[31mred\u001b[0m", "日本"];
    const lines = linesOf(socket).map(({ line }) => line);
    const at = lines.indexOf("10%");
    expect(lines.slice(at, at + expected.length)).toEqual(expected);
    const long = lines.find((line) => line.length > 1000);
    expect([long?.length, long?.slice(0, 12)]).toEqual([9_999_999, "abcdefghijab"]);
    expect(lines.some((line) => line.startsWith("no end"))).toBe(true);
    expectUnbroken(linesOf(socket));
    const overRest = await daemon.logs(id, "?after=-1");
    expect(overRest).toEqual(linesOf(socket).slice(0, overRest.length));
  });

  test("of 16 MiB of control characters, six times as long as JSON, do not hold up a follower", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    const socket = daemon.socket(`/instances/${instance.id}/logs?after=-1`);
    await socket.opened;
    const raw = new Uint8Array(16_000_001).fill(1);
    raw[16_000_000] = 0x0a;
    await write(instance, "lines=3", raw);
    await until("the lines behind it", () => lastLine(socket).startsWith("line 000003"), 60_000);
    expect(linesOf(socket).some(({ line }) => line.length === 16_000_000)).toBe(true);
    expectUnbroken(linesOf(socket));
  });

  test("are numbered on over restarts of the instance and of the daemon, and a final line without an end counts", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake({
      rawBase64: Buffer.from("the end, no newline").toString("base64"),
      exitCode: 1,
    });
    for (let start = 0; start < 3; start++) await daemon.start(id);
    const before = await daemon.logs(id, "?after=-1");
    expectUnbroken(before);
    // Two attempts a start.
    expect(before.filter(({ line }) => line === "the end, no newline")).toHaveLength(6);
    expect(readdirSync(join(daemon.dir, "logs"))).toHaveLength(6);
    await daemon.end();
    await using next = await daemon.again();
    expect(await next.logs(id, "?after=-1")).toEqual(before);
    await next.start(id);
    const after = await next.logs(id, "?after=-1");
    expectUnbroken(after);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after.length).toBeGreaterThan(before.length);
  });
});

describe("the record of the log files", () => {
  test("that was damaged is told, and the numbers go on", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await running(daemon);
    await daemon.stop(id);
    const before = await daemon.logs(id);
    await daemon.end();
    const record = join(daemon.dir, ".solar-host/instances", `${id}.log.json`);
    writeFileSync(record, readFileSync(record, "utf8").slice(0, 40));
    await using next = await daemon.again();
    expect(next.stderr).toContain(`${id}.log.json is damaged: its copy is used`);
    expect(await next.logs(id)).toEqual(before);
    await next.start(id);
    const lines = await next.logs(id, "?after=-1");
    expect(lines.length).toBeGreaterThan(before.length);
    expectUnbroken(lines);
  });
});

describe("log files", () => {
  test("that cannot be read now are no gap: REST says so with a 503, and the stream goes on when they can be", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "10" } });
    const instance = await running(daemon);
    await write(instance, "lines=500");
    await daemon.request("POST", `/instances/${instance.id}/restart`);
    const next = await daemon.get(instance.id);
    await write(next, "lines=500");
    const path = `/instances/${instance.id}/logs`;
    const all = await until("all lines", async () => {
      const lines = await daemon.logs(instance.id, "?after=-1&limit=10000");
      return lines.filter(({ line }) => line.startsWith("line 000500")).length === 2 ? lines : null;
    });
    const old = instance.log_file ?? "";
    expect(next.log_file).not.toBe(old);
    renameSync(old, `${old}.away`);
    symlinkSync(old, old);
    const socket = daemon.socket(`${path}?after=-1`);
    await socket.opened;
    const { status, body } = await daemon.request<{ detail: string }>("GET", `${path}?after=-1`);
    expect([status, body.detail]).toEqual([503, expect.stringContaining("is a link that leads in a circle")]);
    expect((await daemon.logs(instance.id)).length).toBe(10);
    renameSync(`${old}.away`, old);
    await until("the last line", () => socket.frames.length >= all.length);
    expect(socket.frames).toEqual(all as never);
  });

  test("over LOG_MAX_MB give the blocks of their head back while the child writes; what is gone is one gap", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_MAX_MB: "1", LOG_BUFFER_SIZE: "50" } });
    const instance = await running(daemon);
    const file = (await daemon.get(instance.id)).log_file ?? "";
    for (let round = 0; round < 6; round++) await write(instance, "lines=10000&bytes=100");
    await until("all lines", async () =>
      (await daemon.logs(instance.id, "?tail=1"))[0]?.line.startsWith("line 060000"),
    );
    expect(statSync(file).size).toBeGreaterThan(6_000_000);
    expect(statSync(file).blocks * 512).toBeLessThan(2.5 * 1024 * 1024);

    const socket = daemon.socket(`/instances/${instance.id}/logs?after=9`);
    await until("the last line", () => lastLine(socket).startsWith("line 060000"));
    const [gap, ...rest] = socket.frames;
    const first = rest[0]?.seq as number;
    expect(gap).toEqual({ type: "gap", from: 10, to: first - 1 });
    expect(first).toBeGreaterThan(20_000);
    expectUnbroken(linesOf(socket));
    expect(
      linesOf(socket).every(
        ({ seq, line }) => Number(line.slice(5, 11)) - seq === 60_000 - (rest.at(-1)?.seq as number),
      ),
    ).toBe(true);
    // A client that asks for nothing special sees the old frames only.
    const plain = daemon.socket(`/instances/${instance.id}/logs`);
    await until("the replay", () => plain.frames.length === 50);
    expect(plain.frames.every((frame) => "seq" in frame)).toBe(true);

    await daemon.kill();
    await using next = await daemon.again();
    const lines = await next.logs(instance.id, "?after=-1&limit=10000");
    expect(lines[0]?.seq).toBe(first);
    expectUnbroken(lines);
    expect(lines).toEqual(linesOf(socket).slice(0, lines.length));
    await write(instance, "lines=1");
    await until("the next line", async () =>
      (await next.logs(instance.id, "?tail=1"))[0]?.line.startsWith("line 060001"),
    );
    await next.stop(instance.id);
  });

  test("beyond LOG_KEEP_FILES go, oldest first, of this instance alone: `a` leaves `a_b` alone", async () => {
    await using daemon = await TestDaemon.start({
      env: { LOG_KEEP_FILES: "2", MAX_RETRIES: "1", LOG_BUFFER_SIZE: "3" },
    });
    const fault = { exitCode: 1 };
    const a = await daemon.createFake(fault, { alias: "a" });
    const ab = await daemon.createFake(fault, { alias: "a_b" });
    await daemon.start(ab.id);
    for (let start = 0; start < 5; start++) await daemon.start(a.id);
    const files = readdirSync(join(daemon.dir, "logs")).sort();
    expect(files.filter((name) => /^a_\d+(_\d+)?\.log$/.test(name))).toHaveLength(2);
    expect(files.filter((name) => name.startsWith("a_b_"))).toHaveLength(1);
    const lines = await daemon.logs(a.id, "?after=-1");
    expect(lines[0]?.seq).toBeGreaterThan(0);
    expectUnbroken(lines);
    const socket = daemon.socket(`/instances/${a.id}/logs?after=-1`);
    await until("the gap", () => socket.frames.length > 0);
    expect(socket.frames[0]).toEqual({ type: "gap", from: 0, to: (lines[0]?.seq ?? 0) - 1 });
  });

  test("that were removed are a gap at once, though nothing new comes", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await running(daemon);
    await daemon.stop(id);
    const last = (await daemon.logs(id)).at(-1)?.seq ?? -1;
    const file = (await daemon.get(id)).log_file ?? "";
    await daemon.end();
    unlinkSync(file);
    await using next = await daemon.again();
    const socket = next.socket(`/instances/${id}/logs?after=-1`);
    await until("the gap", () => socket.frames.length > 0);
    await next.start(id);
    await until("a line", () => socket.frames.length > 1);
    expect(socket.frames.slice(0, 2)).toEqual([
      { type: "gap", from: 0, to: last },
      expect.objectContaining({ seq: last + 1 }),
    ]);
  });

  test("stay in LOG_DIR whatever the alias is", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
    for (const alias of ["../../x", "/etc/passwd", "语言/模型:8b", "x".repeat(256), "..", "a b\\c"]) {
      const { id } = await daemon.createFake({ exitCode: 1 }, { alias });
      await daemon.start(id);
      const file = (await daemon.get(id)).log_file ?? "";
      expect([alias, join(file, "..")]).toEqual([alias, join(daemon.dir, "logs")]);
      expect((await daemon.logs(id)).length).toBeGreaterThan(0);
    }
    expect(readdirSync(join(daemon.dir, "logs"))).toHaveLength(6);
  });
});
