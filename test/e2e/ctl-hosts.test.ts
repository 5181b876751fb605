import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { exitCodes } from "../../src/ctl/errors.ts";
import { Ctl } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** Which daemon the client speaks to: the one on this machine, one that is named, several. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const records = (home: string): string => join(home, "xdg-state/solar-host/daemons");
/** Nothing listens on it: it is not given to anyone by chance, and needs a right to be taken. */
const DEAD = "http://127.0.0.1:9";

describe("the daemon on this machine", () => {
  test("is found with its key from any directory, by a record that nobody else may read, gone at its end", async () => {
    await using daemon = await TestDaemon.start();
    const ctl = Ctl.of(daemon);
    const [file = ""] = readdirSync(records(daemon.dir));
    const path = join(records(daemon.dir), file);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
      url: daemon.url,
      directory: daemon.dir,
      key: KEY,
      pid: daemon.process.pid,
    });
    for (const cwd of ["/", daemon.dir, "/usr"]) expect((await ctl.run(["ls"], { cwd })).code).toBe(0);
    // Named as well, under another name of this machine, it is still one.
    const { id } = await daemon.create({ model: "/m", alias: "once", api_key: "k" });
    await ctl.ok(["context", "add", "here", daemon.url.replace("127.0.0.1", "localhost"), "--key", KEY]);
    expect(await ctl.ok(["ls", "--all-contexts", "-q"])).toBe(`${id}\n`);
    await daemon.end();
    expect(readdirSync(records(daemon.dir))).toEqual([]);
    const { code, err } = await ctl.run(["ls"]);
    expect(code).toBe(5);
    expect(err).toContain("solar-host serve");
  });

  test("that was killed leaves a record that counts for nothing", async () => {
    await using daemon = await TestDaemon.start();
    const ctl = Ctl.of(daemon);
    await daemon.kill();
    expect(readdirSync(records(daemon.dir))).toHaveLength(1);
    const { code, err } = await ctl.run(["ls"]);
    expect(code).toBe(5);
    expect(err).toContain("no daemon of yours runs on this machine");
  });

  test("is one of several: told apart by the directory, and an error that lists them elsewhere", async () => {
    await using one = await TestDaemon.start();
    await using two = await TestDaemon.start({ env: { XDG_STATE_HOME: join(one.dir, "xdg-state"), API_KEY: "other" } });
    const ctl = Ctl.of(one);
    const { id } = await two
      .request<{ instance: { id: string } }>(
        "POST",
        "/instances",
        { config: { model: "/m", alias: "of-two", api_key: "k" } },
        { "X-API-Key": "other" },
      )
      .then(({ body }) => body.instance);
    const elsewhere = await ctl.run(["ls"]);
    expect(elsewhere.code).toBe(2);
    for (const daemon of [one, two]) {
      expect(elsewhere.err).toContain(daemon.dir);
      expect(elsewhere.err).toContain(daemon.url);
    }
    const below = join(two.dir, "some/where");
    mkdirSync(below, { recursive: true });
    expect(await ctl.ok(["ls", "-q"], { cwd: below })).toBe(`${id}\n`);
    expect(await ctl.ok(["ls", "-q"], { cwd: one.dir })).toBe("");
    expect(await ctl.ok(["ls", "-q", "--context", two.dir])).toBe(`${id}\n`);
    expect(await ctl.ok(["ls", "-q", "--context", "."], { cwd: two.dir })).toBe(`${id}\n`);
    expect(await ctl.ok(["ls", "-q", "--url", two.url])).toBe(`${id}\n`);
    expect((await ctl.run(["ls", "--context", "/usr"])).code).toBe(5);
    // What ends everything of one of them needs it named: the current folder alone does not decide.
    for (const verb of [["rm", "--force"], ["stop"], ["restart"]]) {
      const { code, err } = await ctl.run([...verb, "--all"], { cwd: two.dir });
      expect(code).toBe(2);
      expect(err).toContain(one.dir);
    }
    expect((await ctl.run(["stop", "--all", "--context", "."], { cwd: two.dir })).code).toBe(0);
    // Both at once need no choice.
    expect(await ctl.ok(["ls", "-q", "--all-contexts"])).toBe(`${id}\n`);
  });
});

describe("hosts that are named", () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await TestDaemon.start();
    await daemon.create({ model: "/m", alias: "only", api_key: "k" });
  });
  afterAll(async () => await daemon[Symbol.asyncDispose]());

  /** Someone else's machine: nothing runs there. */
  const laptop = (): Ctl => new Ctl(temporaryFolder());

  test("are kept in a file that nobody else may read, used, listed without keys, and forgotten", async () => {
    const ctl = laptop();
    const path = join(ctl.home, "xdg-config/solar-host/contexts.json");
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", "-", "--use"], { stdin: `${KEY}\n` });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).toContain(KEY);
    expect(await ctl.ok(["ls"])).toContain("only");
    await ctl.ok(["context", "add", "gpu2", DEAD, "--key", "k2"]);
    const listed = await ctl.ok(["context", "ls"]);
    expect(listed).toMatch(/\*\s+gpu1/);
    expect(listed).not.toContain(KEY);
    const asJson = await ctl.ok(["context", "ls", "--json"]);
    expect(JSON.parse(asJson)).toEqual([
      { name: "gpu1", url: daemon.url, current: true, has_key: true },
      { name: "gpu2", url: DEAD, current: false, has_key: true },
    ]);
    expect(asJson).not.toContain(KEY);
    await ctl.ok(["context", "use", "gpu2"]);
    expect((await ctl.run(["ls"])).code).toBe(5);
    expect(await ctl.ok(["ls", "--context", "gpu1"])).toContain("only");
    expect(await ctl.ok(["--context", "gpu1", "ls"])).toContain("only");
    await ctl.ok(["context", "rm", "gpu2"]);
    expect(await ctl.ok(["context", "ls", "-q"])).toBe("gpu1\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await ctl.run(["ls", "--context", "gpu2"])).code).toBe(4);
    expect((await ctl.run(["context", "use", "gpu2"])).code).toBe(4);
  });

  test("are not changed by an address or a name that is none, or that holds a key", async () => {
    const ctl = laptop();
    for (const [name, address] of [
      ["gpu1", "ftp://gpu1"],
      ["gpu1", "http://user:pass@gpu1:8001"],
      ["local", "http://gpu1:8001"],
      ["a/b", "http://gpu1:8001"],
    ] as const) {
      expect((await ctl.run(["context", "add", name, address, "--key", "k"])).code).toBe(2);
    }
    expect(existsSync(join(ctl.home, "xdg-config/solar-host/contexts.json"))).toBe(false);
  });

  test("get the key of the environment where none is given and nobody can be asked, which is said", async () => {
    const ctl = laptop();
    const env = { SOLAR_HOST_API_KEY: KEY };
    const { code, err } = await ctl.run(["context", "add", "gpu1", daemon.url, "--use"], { env });
    expect(code).toBe(0);
    expect(err).toContain("with the key in SOLAR_HOST_API_KEY");
    expect(err).not.toContain(KEY);
    expect(await ctl.ok(["ls"])).toContain("only");
    expect(await ctl.ok(["context", "add", "--help"])).toContain("SOLAR_HOST_API_KEY");
    expect((await ctl.run(["context", "add", "gpu2", DEAD])).err).toContain("without a key");
  });

  test("--all-contexts asks all of them, and a dead one and one that refuses spoil nothing", async () => {
    const ctl = laptop();
    await ctl.ok(["context", "add", "dead", DEAD, "--key", "k"]);
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", KEY]);
    const some = await ctl.run(["ls", "--all-contexts"]);
    expect(some.code).toBe(5);
    expect(some.out).toMatch(/gpu1\s+only/);
    expect(some.err).toContain("dead");
    await ctl.ok(["context", "add", "shut", daemon.url.replace("127.0.0.1", "localhost"), "--key", "wrong", "--force"]);
    const { code, out } = await ctl.run(["ls", "--all-contexts", "--json"]);
    expect(code).toBe(6);
    const hosts = JSON.parse(out) as { context: string; instances?: unknown[]; error?: string }[];
    expect(hosts.map(({ context, instances, error }) => [context, instances?.length, error !== undefined])).toEqual([
      ["dead", undefined, true],
      ["gpu1", 1, false],
      ["shut", undefined, true],
    ]);
    expect((await ctl.run(["ls", "--all-contexts", "--context", "gpu1"])).code).toBe(2);
  });

  test("--all-contexts does not wait long for a host that takes connections and says nothing", async () => {
    using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const ctl = laptop();
    await ctl.ok(["context", "add", "silent", `http://127.0.0.1:${silent.port}`, "--key", "k"]);
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", KEY]);
    const { code, out, err } = await ctl.run(["ls", "--all-contexts"]);
    expect(code).toBe(5);
    expect(out).toMatch(/gpu1\s+only/);
    expect(err).toContain("no answer within 3 s");
  });

  test("the environment names one too, and flags are before it", async () => {
    const env = { SOLAR_HOST_URL: daemon.url, SOLAR_HOST_API_KEY: KEY };
    const ctl = laptop();
    expect(await ctl.ok(["ls"], { env })).toContain("only");
    expect((await ctl.run(["ls"], { env: { ...env, SOLAR_HOST_API_KEY: "wrong" } })).code).toBe(6);
    expect((await ctl.run(["ls", "--key", KEY], { env: { ...env, SOLAR_HOST_API_KEY: "wrong" } })).code).toBe(0);
    expect((await ctl.run(["ls", "--url", DEAD], { env })).code).toBe(5);
    expect((await ctl.run(["ls", "--url", daemon.url, "--context", "x"], { env })).code).toBe(2);
  });

  test("a refused key says where keys are, and does not show it", async () => {
    const { code, err } = await laptop().run(["ls", "--url", daemon.url, "--key", "wr0ng-key"]);
    expect(code).toBe(6);
    expect(err).toContain("API_KEY in the .env");
    expect(err).not.toContain("wr0ng-key");
    expect((await laptop().run(["ls", "--url", daemon.url])).err).toContain("asks for a key");
  });
});

describe("a daemon of another version", () => {
  const serving = (answers: Record<string, unknown>) =>
    Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => {
        const found = answers[new URL(request.url).pathname];
        return found === undefined ? new Response("<html>", { status: 404 }) : Response.json(found);
      },
    });
  const health = { status: "healthy", service: "solar-host", version: "9.9.9" };
  const instance = {
    id: "5f0c8f0e-0000-4000-8000-000000000000",
    config: { alias: "a", backend_type: "of-the-future", model: "m" },
    status: "stopped",
    port: null,
    pid: null,
    created_at: "2026-01-01T00:00:00Z",
    started_at: null,
    error_message: null,
    retry_count: 0,
    supported_endpoints: [],
    loading: null,
    log_file: null,
    new_field: 1,
  };
  const asked = async (answers: Record<string, unknown>, args: string[]) => {
    await using server = serving(answers);
    return await new Ctl(temporaryFolder()).run([...args, "--url", `http://127.0.0.1:${server.port}`, "--key", "k"]);
  };

  test("is understood as long as what is asked for is there, and new fields reach programs", async () => {
    const { code, out } = await asked({ "/instances": [instance], "/health": health }, ["ls", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual([instance]);
  });

  test("is named with both versions where its answer is not understood", async () => {
    const { status: _, ...without } = instance;
    const { code, err } = await asked({ "/instances": [without], "/health": health }, ["ls"]);
    expect(code).toBe(exitCodes.failure);
    expect(err).toContain("runs solar-host 9.9.9");
    expect(err).toContain("0.status");
    expect(err).not.toContain("    at ");
  });

  test.each([
    [["state", "-f"], "hello", "no JSON"],
    [["state", "-f"], '{"type":"of-the-future"}', "type: "],
    [["logs", "-f"], "hello", "no JSON"],
    [["logs", "-f"], '{"type":"of-the-future"}', "seq: "],
  ])("is named with both versions where %j gets the frame %s", async (words, frame, problem) => {
    await using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, self) => {
        const { pathname } = new URL(request.url);
        if (request.headers.get("upgrade") === "websocket" && self.upgrade(request, { data: undefined }))
          return undefined;
        if (pathname === "/instances") return Response.json([{ ...instance, status: "running" }]);
        return pathname === "/health" ? Response.json(health) : Response.json([]);
      },
      websocket: { open: (socket) => void socket.send(frame), message: () => undefined },
    });
    const target = ["--url", `http://127.0.0.1:${server.port}`, "--key", "k"];
    const { code, err } = await new Ctl(temporaryFolder()).run([...words, "a", ...target]);
    expect(err).toContain("runs solar-host 9.9.9");
    expect(err).toContain(problem);
    expect(code).toBe(exitCodes.failure);
  });

  test("and something that is no daemon is named as that", async () => {
    const { code, err } = await asked({ "/instances": { hello: "world" } }, ["ls"]);
    expect(code).toBe(exitCodes.failure);
    expect(err).toContain("is no solar-host daemon");
  });
});
