import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { requireBinary } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The daemon itself: how it starts, what it refuses, how it ends. */

setDefaultTimeout(60_000);

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

const isAlive = (pid: number | null): boolean => {
  try {
    process.kill(pid ?? 0, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

const startFake = async (daemon: TestDaemon, fault: Record<string, unknown> = {}): Promise<Instance> => {
  const { id } = await daemon.createFake(fault);
  return (await daemon.start(id)).body.instance;
};

const withFolder = async <T>(work: (dir: string) => Promise<T>): Promise<T> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

/** A daemon that should not come to listen: its exit code and what it says. */
const refusal = async (
  dir: string,
  env: Record<string, string>,
  args: string[] = [],
): Promise<{ code: number; text: string }> => {
  const child = Bun.spawn([requireBinary(), "serve", ...args], {
    cwd: dir,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env.PATH ?? "",
      HOME: dir,
      API_KEY: crypto.randomUUID(),
      HOST: "127.0.0.1",
      PORT: "0",
      ...env,
    },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const [text, code] = await Promise.all([child.stderr.text(), child.exited]);
  clearTimeout(timer);
  return { code, text };
};

describe.concurrent("at its start the daemon", () => {
  test("makes a key where none is set, writes it for its owner alone, keeps it, and tells a log the path of its file alone", async () => {
    await withFolder(async (dir) => {
      const env = { PATH: process.env.PATH ?? "", HOME: dir, HOST: "127.0.0.1", PORT: "0" };
      const run = () =>
        Bun.spawn([requireBinary(), "serve"], { cwd: dir, env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
      const texts: string[] = [];
      for (let round = 0; round < 2; round++) {
        const child = run();
        let text = "";
        const reading = (async () => {
          for await (const chunk of child.stderr) text += new TextDecoder().decode(chunk);
        })();
        const url = await until("it to listen", () => /http:\/\/\S+:\d+/.exec(text)?.[0]);
        const key = /^API_KEY=(.+)$/m.exec(readFileSync(join(dir, ".env"), "utf8"))?.[1] ?? "";
        expect((await fetch(`${url}/instances`, { headers: { "X-API-Key": key } })).status).toBe(200);
        expect((await fetch(`${url}/instances`)).status).toBe(401);
        child.kill();
        await child.exited;
        await reading;
        texts.push(text);
      }
      const key = /^API_KEY=(.+)$/m.exec(readFileSync(join(dir, ".env"), "utf8"))?.[1] ?? "";
      expect(key.length).toBeGreaterThan(20);
      expect(statSync(join(dir, ".env")).mode & 0o777).toBe(0o600);
      expect(texts.map((text) => text.includes(key))).toEqual([false, false]);
      expect(texts.map((text) => text.includes(join(dir, ".env")))).toEqual([true, false]);
    });
  });

  test("refuses to go without a key where others could reach it, and goes without one on loopback", async () => {
    await withFolder(async (dir) => {
      const { code, text } = await refusal(dir, { API_KEY: "", HOST: "0.0.0.0" });
      expect([code, text]).toEqual([2, expect.stringContaining("API_KEY is empty")]);
      expect(text.trim().split("\n")).toHaveLength(1);
    });
    await using daemon = await TestDaemon.start({ env: { API_KEY: "" } });
    expect((await daemon.request("GET", "/instances", undefined, {})).status).toBe(200);
  });

  test("reads .env, and the key from a file; flags come before the environment", async () => {
    await using daemon = await TestDaemon.start({ env: { PORT: "1", LOG_DIR: "from-env" }, args: ["--port", "0"] });
    expect(existsSync(join(daemon.dir, "from-env"))).toBe(true);
    await daemon.end();
    writeFileSync(join(daemon.dir, "key"), "from-the-file\n");
    writeFileSync(join(daemon.dir, ".env"), "start_port=29990\nLOG_DIR=ignored\n");
    await using next = await TestDaemon.start({
      dir: daemon.dir,
      env: { START_PORT: "" },
      args: ["--api-key-file", "key"],
    });
    expect((await next.request("GET", "/instances")).status).toBe(401);
    expect((await next.request("GET", "/instances", undefined, { "X-API-Key": "from-the-file" })).status).toBe(200);
  });

  test("says each setting that is wrong, with exit code 2", async () => {
    await withFolder(async (dir) => {
      writeFileSync(join(dir, ".env"), "LOG_FORMAT=xml\n");
      const { code, text } = await refusal(dir, { START_PORT: "many" }, ["--max-retries", "0"]);
      expect(code).toBe(2);
      expect(text).toContain("MAX_RETRIES should be at least 1, but is '0' (from the command line)");
      expect(text).toContain("START_PORT should be a whole number, but is 'many' (from the environment)");
      expect(text).toContain("LOG_FORMAT should be human or json, but is 'xml' (from .env)");
      const unknown = await refusal(dir, {}, ["--no-such-flag"]);
      expect([unknown.code, unknown.text]).toEqual([2, expect.stringContaining("--no-such-flag")]);
    });
  });

  test("says in one line that its port is taken, and leaves alone what it took over", async () => {
    await using daemon = await TestDaemon.start({ env: { KEEP_INSTANCES: "true" } });
    const { id, pid } = await startFake(daemon);
    await daemon.end();
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const { code, text } = await refusal(daemon.dir, { PORT: String(other.port), KEEP_INSTANCES: "true" });
    other.stop(true);
    expect([code, text]).toEqual([
      1,
      expect.stringContaining(`cannot listen on 127.0.0.1:${other.port}: the address is already in use`),
    ]);
    expect(isAlive(pid)).toBe(true);
    await using next = await daemon.again({ env: {} });
    expect(await next.get(id)).toMatchObject({ status: "running", pid });
  });

  test("says in one line that another daemon, of another folder, has its port", async () => {
    await using daemon = await TestDaemon.start();
    await withFolder(async (dir) => {
      const { code, text } = await refusal(dir, { PORT: String(daemon.port) });
      expect([code, text]).toEqual([
        1,
        `solar-host: cannot listen on 127.0.0.1:${daemon.port}: the address is already in use. Change PORT or HOST, or stop the other program.\n`,
      ]);
    });
  });

  test("says which host there is not, and which address is not this machine's", async () => {
    await withFolder(async (dir) => {
      const unknown = await refusal(dir, { HOST: "no-such-host.invalid", PORT: "8001" });
      expect([unknown.code, unknown.text]).toEqual([
        1,
        "solar-host: cannot listen on no-such-host.invalid:8001: no such host. Change HOST.\n",
      ]);
      // Of a network that is for documents alone.
      const foreign = await refusal(dir, { HOST: "192.0.2.1", PORT: "8001" });
      expect([foreign.code, foreign.text]).toEqual([1, expect.stringContaining("does not have that address")]);
    });
  });

  test.skipIf(!hasIpv6)("listens on an IPv6 address, and says so as a URL", async () => {
    await using daemon = await TestDaemon.start({ env: { HOST: "::1" } });
    expect(daemon.stderr).toContain(`listens on http://[::1]:${daemon.port} (`);
    expect((await fetch(`http://[::1]:${daemon.port}/health`)).status).toBe(200);
  });

  test("is the only one in its directory", async () => {
    await using daemon = await TestDaemon.start();
    const { code, text } = await refusal(daemon.dir, {});
    expect([code, text]).toEqual([
      1,
      `solar-host: another solar-host (pid ${daemon.process.pid}) already serves this directory\n`,
    ]);
    expect((await daemon.request("GET", "/health")).status).toBe(200);
  });

  test("does not touch a config that does not parse, and says where it is broken", async () => {
    await withFolder(async (dir) => {
      const path = join(dir, "config.json");
      for (const broken of ['{"instances": [\n  {"id": }\n]}', "", "[]", '{"instances": [']) {
        writeFileSync(path, broken);
        const { code, text } = await refusal(dir, {});
        expect([broken, code, text.trim().split("\n").length]).toEqual([broken, 1, 1]);
        expect(text).toMatch(/config\.json:\d+:\d+: /);
        expect(readFileSync(path, "utf8")).toBe(broken);
      }
    });
  });

  test("says which folder is missing or not writable", async () => {
    await withFolder(async (dir) => {
      const gone = await refusal(dir, { CONFIG_FILE: "no/such/folder/config.json" });
      expect([gone.code, gone.text]).toEqual([1, expect.stringContaining("CONFIG_FILE: no such directory")]);
      writeFileSync(join(dir, "file"), "");
      const file = await refusal(dir, { LOG_DIR: "file/logs" });
      expect([file.code, file.text]).toEqual([
        1,
        expect.stringContaining("LOG_DIR: no log can be written there: a part of the path"),
      ]);
      const key = await refusal(dir, {}, ["--api-key-file", "no-such-file"]);
      expect([key.code, key.text]).toEqual([
        2,
        expect.stringContaining("--api-key-file: cannot read the key: 'no-such-file' is not there"),
      ]);
    });
  });

  test("says in plain words what the system refuses, with the path and without its code", async () => {
    const isFolder = (path: string): void => void mkdirSync(path);
    const isFile = (path: string): void => writeFileSync(path, "");
    const cases: [make: (path: string) => void, name: string, said: string, args?: string[]][] = [
      [isFolder, ".env", "cannot read the settings: '%' is a folder and no file"],
      [isFolder, "config.json", "cannot read the configuration: '%' is a folder and no file"],
      [
        isFolder,
        "key",
        "--api-key-file: cannot read the key: 'key' is a folder and no file",
        ["--api-key-file", "key"],
      ],
      [isFile, "logs", "LOG_DIR: no log can be written there: a part of the path '%' is a file and no folder"],
      [isFile, ".solar-host", "cannot lock the folder: a part of the path '%' is a file and no folder"],
    ];
    for (const [make, name, said, args = []] of cases) {
      await withFolder(async (dir) => {
        make(join(dir, name));
        const { code, text } = await refusal(dir, {}, args);
        expect([name, code, text]).toEqual([
          name,
          expect.any(Number),
          expect.stringContaining(said.replace("%", join(dir, name))),
        ]);
        expect(text).not.toMatch(/\bE[A-Z]{3,}\b/);
      });
    }
  });

  test("ignores a bunfig.toml and what else the folder holds of other programs", async () => {
    await withFolder(async (dir) => {
      writeFileSync(join(dir, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
      writeFileSync(join(dir, "evil.ts"), `require("node:fs").writeFileSync("${dir}/ran", "")`);
      writeFileSync(join(dir, "package.json"), "{ broken");
      writeFileSync(join(dir, "tsconfig.json"), "{ broken");
      await using daemon = await TestDaemon.start({ dir });
      expect((await daemon.request("GET", "/health")).status).toBe(200);
      expect(existsSync(join(dir, "ran"))).toBe(false);
    });
  });

  test("logs as JSON when asked to, a line an event", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_FORMAT: "json" } });
    await daemon.createFake();
    await until("the event", () => daemon.stderr.includes("created"));
    for (const line of daemon.stderr.trim().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({
        time: expect.any(String),
        level: expect.any(String),
        message: expect.any(String),
      });
    }
  });
});

describe.concurrent("with LOG_FORMAT=json the daemon", () => {
  const linesOf = (text: string): Record<string, unknown>[] =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("says why it does not start in JSON lines too, a problem a line", async () => {
    await withFolder(async (dir) => {
      const env = { LOG_FORMAT: "json", LOG_LEVEL: "error" };
      const wrong = await refusal(dir, { ...env, PORT: "many", MAX_RETRIES: "0" });
      expect([wrong.code, linesOf(wrong.text)]).toEqual([
        2,
        [
          { time: expect.any(String), level: "error", message: expect.stringContaining("PORT should be") },
          { time: expect.any(String), level: "error", message: expect.stringContaining("MAX_RETRIES should be") },
        ],
      ]);
      writeFileSync(join(dir, "config.json"), "{");
      writeFileSync(join(dir, ".env"), "log_format=json\n");
      const broken = await refusal(dir, {});
      expect([broken.code, linesOf(broken.text)]).toEqual([
        1,
        [{ time: expect.any(String), level: "error", message: expect.stringContaining("config.json:1:") }],
      ]);
    });
  });

  test("names the file of the key that it made, once, whatever the level, and never the key", async () => {
    await withFolder(async (dir) => {
      const env = { PATH: process.env.PATH ?? "", HOME: dir, HOST: "127.0.0.1", PORT: "0", LOG_FORMAT: "json" };
      const child = Bun.spawn([requireBinary(), "serve", "--log-level", "error"], {
        cwd: dir,
        env,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
      });
      const key = await until("the key to be made", () => {
        const stored = readFileSync(join(dir, ".env"), "utf8");
        return /^API_KEY=(.+)$/m.exec(stored)?.[1];
      });
      await until("the record for clients, and with it the signals' handlers", () =>
        existsSync(join(dir, ".local/state/solar-host/daemons")),
      );
      child.kill();
      const [text] = await Promise.all([child.stderr.text(), child.exited]);
      const path = join(dir, ".env");
      const line = { level: "info", message: expect.stringContaining(path), api_key_file: path };
      expect(text).not.toContain(key);
      expect(linesOf(text)).toEqual([{ time: expect.any(String), ...line }]);
    });
  });
});

test("the help of serve names each setting and its default, and nothing of how flags are read", () => {
  const help = Bun.spawnSync([requireBinary(), "serve", "--help"]).stdout.toString().replace(/\s+/g, " ");
  expect(help).toMatch(/--keep-instances \[true\|false\] [^-]* \(default: false\) --/);
  expect(help).not.toContain("preset");
});

test("a key on the command line is refused with what to do, and is not repeated", async () => {
  await withFolder(async (dir) => {
    for (const args of [["--api-key", "TOPSECRET"], ["--api-key=TOPSECRET"], ["--api-key"]]) {
      const { code, text } = await refusal(dir, {}, args);
      expect([args, code, text]).toEqual([args, 2, expect.stringContaining("--api-key-file")]);
      expect(text).not.toContain("TOPSECRET");
    }
  });
});

describe.concurrent("a daemon that comes back", () => {
  test("starts what ran, side by side, and listens before that is done; what was stopped stays so", async () => {
    await using daemon = await TestDaemon.start();
    const ran = await Promise.all(Array.from({ length: 4 }, () => startFake(daemon, { readyAfterMs: 2500 })));
    const stopped = await startFake(daemon);
    await daemon.stop(stopped.id);
    expect(await daemon.end()).toBe(0);
    expect(ran.some(({ pid }) => isAlive(pid))).toBe(false);
    await using next = await daemon.again();
    await until("all four to load at the same time", async () => {
      const instances = (await next.request<Instance[]>("GET", "/instances")).body;
      return instances.filter(({ status, pid }) => status === "starting" && pid !== null).length === 4;
    });
    await Promise.all(ran.map(({ id }) => next.whenStatus(id, "running")));
    expect((await next.get(stopped.id)).status).toBe("stopped");
  });

  test("starts what the Python program's config says was running, and keeps what it cannot read", async () => {
    await withFolder(async (dir) => {
      const model = join(dir, "fault.json");
      writeFileSync(model, "{}");
      const entry = (id: string, status: string, config: Record<string, unknown>) => ({
        id,
        config,
        status,
        port: 3500,
        pid: 999_999,
        created_at: "2025-10-01T08:30:00.123456",
        started_at: "2025-10-02T09:00:00",
        error_message: null,
        retry_count: 0,
        supported_endpoints: ["/v1/chat/completions"],
      });
      const old = { model, alias: "old", api_key: "instance-key", host: "127.0.0.1" };
      const unreadable = entry("c", "running", { backend_type: "tensorrt", engine: "/e" });
      const instances = [entry("a", "running", old), entry("b", "stopped", old), unreadable];
      writeFileSync(join(dir, "config.json"), JSON.stringify({ instances }, null, 2));
      await using daemon = await TestDaemon.start({ dir });
      await daemon.whenStatus("a", "running");
      expect((await daemon.get("b")).status).toBe("stopped");
      expect((await daemon.request("GET", "/instances/c")).status).toBe(404);
      expect(daemon.stderr).toContain("instances[2] (id c)");
      await daemon.stop("a");
      expect(daemon.configFile().instances.at(-1)).toEqual(unreadable);
      await daemon.request("DELETE", "/instances/b");
      expect(daemon.configFile().instances.at(-1)).toEqual(unreadable);
    });
  });

  test("tries again what should run but had failed", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
    const counterFile = join(daemon.dir, "starts");
    const { id } = await daemon.createFake({ exitCode: 4, failFirst: 1, counterFile });
    await daemon.start(id);
    expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 1 });
    await daemon.end();
    expect(daemon.configFile().instances[0]).toMatchObject({ status: "failed", error_message: expect.any(String) });
    await using next = await daemon.again();
    expect(await next.whenStatus(id, "running")).toMatchObject({ error_message: null, retry_count: 0 });
  });
});

describe.concurrent("at its end the daemon", () => {
  test("answers SIGTERM, SIGINT and SIGHUP with exit code 0, everything stopped, whatever is connected", async () => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      await using daemon = await TestDaemon.start();
      const instance = await startFake(daemon, { tokens: 1000, tokenMs: 100 });
      const sockets = ["logs", "state", "logs?after=-1"].map((kind) =>
        daemon.socket(`/instances/${instance.id}/${kind}`),
      );
      await Promise.all(sockets.map(({ opened }) => opened));
      const generation = await fetch(`http://127.0.0.1:${instance.port}/v1/chat/completions`, {
        method: "POST",
        headers: { Authorization: "Bearer instance-key" },
        body: JSON.stringify({ messages: [], stream: true }),
      });
      const began = performance.now();
      daemon.process.kill(signal);
      expect(await daemon.process.exited).toBe(0);
      // Within the grace time of 10 s, and then some.
      expect(performance.now() - began).toBeLessThan(12_000);
      for (const socket of sockets) expect((await socket.closed).code).toBe(1001);
      expect(isAlive(instance.pid)).toBe(false);
      await generation.body?.cancel().catch(() => undefined);
    }
  });

  test("shows the viewers of a log what the server said last", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await startFake(daemon);
    const socket = daemon.socket(`/instances/${instance.id}/logs`);
    await socket.opened;
    await daemon.end();
    await socket.closed;
    expect(socket.frames.at(-1)?.line).toContain("cleaning up before exit");
  });

  test("waits for a server that is slow to leave, and ends at once when it is told a second time", async () => {
    await using daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "120" } });
    const { id, pid } = await startFake(daemon, { ignoreSigterm: true });
    daemon.process.kill("SIGTERM");
    await until("the server to have been asked", async () =>
      (await daemon.logs(id)).some(({ line }) => line.includes("SIGTERM ignored")),
    );
    // Meanwhile it answers, but begins nothing new.
    expect((await daemon.request("GET", "/health")).status).toBe(200);
    const refused = await daemon.request("POST", "/instances", { config: { model: "/m", alias: "a", api_key: "k" } });
    expect(refused).toEqual({ status: 503, body: { detail: "The daemon is shutting down" } });
    expect((await daemon.request("POST", `/instances/${id}/start`)).status).toBe(503);
    const began = performance.now();
    expect(await daemon.hurry()).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(isAlive(pid)).toBe(false);
  });

  test("ends a start that is under way, a pause between two attempts, and a queue for a turn", async () => {
    await using daemon = await TestDaemon.start({ env: { MAX_PARALLEL_STARTS: "2", MAX_RETRIES: "50" } });
    const ids = await Promise.all(
      [{ neverReady: true }, { exitCode: 1 }, { neverReady: true }].map(
        async (fault) => (await daemon.createFake(fault)).id,
      ),
    );
    for (const id of ids) await daemon.start(id, 0);
    await until("a pause", async () =>
      (await Promise.all(ids.map((id) => daemon.get(id)))).some(({ error_message }) => error_message !== null),
    );
    const began = performance.now();
    expect(await daemon.end()).toBe(0);
    expect(performance.now() - began).toBeLessThan(8000);
    await using next = await daemon.again();
    await Promise.all(
      ids.map((id) => until(`${id} to start again`, async () => (await next.get(id)).status === "starting")),
    );
  });

  test("leaves the models running with KEEP_INSTANCES, and the next one takes them over as they are", async () => {
    await using daemon = await TestDaemon.start({ env: { KEEP_INSTANCES: "true" } });
    const instance = await startFake(daemon);
    const loading = await daemon.createFake({ readyAfterMs: 3000 });
    await daemon.start(loading.id, 0);
    await until("a process", async () => (await daemon.get(loading.id)).pid);
    const { pid: loadingPid } = await daemon.get(loading.id);
    expect(await daemon.end()).toBe(0);
    expect((await fetch(`http://127.0.0.1:${instance.port}/health`)).status).toBe(200);
    await using next = await daemon.again({ env: {} });
    const { pid, port, started_at } = instance;
    expect(await next.get(instance.id)).toMatchObject({ status: "running", pid, port, started_at });
    expect(await next.whenStatus(loading.id, "running")).toMatchObject({ pid: loadingPid });
    expect(await next.end()).toBe(0);
    expect([isAlive(pid), isAlive(loadingPid)]).toEqual([false, false]);
  });

  test("leaves no lock behind, nor after SIGKILL", async () => {
    await using daemon = await TestDaemon.start();
    await daemon.kill();
    await using second = await daemon.again();
    expect(await second.end()).toBe(0);
    await using third = await second.again();
    expect((await third.request("GET", "/health")).status).toBe(200);
  });

  test("goes on when the reader of its stderr has gone", async () => {
    await withFolder(async (dir) => {
      const env = { PATH: process.env.PATH ?? "", HOME: dir, API_KEY: KEY, HOST: "127.0.0.1", PORT: "0" };
      const child = Bun.spawn([requireBinary(), "serve"], { cwd: dir, env, stdin: "ignore", stderr: "pipe" });
      const reader = child.stderr.getReader();
      let text = "";
      while (!text.includes("listens on")) text += new TextDecoder().decode((await reader.read()).value);
      await reader.cancel();
      const url = /http:\/\/\S+:\d+/.exec(text)?.[0];
      const config = { model: "/m", alias: "a", api_key: "k" };
      for (let n = 0; n < 5; n++) {
        const answer = await fetch(`${url}/instances`, {
          method: "POST",
          headers: { "X-API-Key": KEY },
          body: JSON.stringify({ config }),
        });
        expect(answer.status).toBe(200);
      }
      child.kill();
      expect(await child.exited).toBe(0);
    });
  });
});
