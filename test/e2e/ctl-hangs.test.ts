import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** A daemon that takes connections and does not answer: `--timeout` is a limit all the same. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const TIMEOUT = ["--timeout", "1s"];

describe("a daemon that is held", () => {
  let daemon: TestDaemon;
  let ctl: Ctl;
  let id: string;

  beforeAll(async () => {
    daemon = await TestDaemon.start();
    ctl = Ctl.of(daemon);
    id = (await daemon.createFake({}, { alias: "held" })).id;
    daemon.process.kill("SIGSTOP");
  });
  afterAll(async () => {
    daemon.process.kill("SIGCONT");
    await daemon[Symbol.asyncDispose]();
  });

  test.each([[["start"]], [["restart"]], [["stop"]], [["wait"]], [["edit", "--set", "temp=0.5", "--restart"]]])(
    "ends %j with 124",
    async (words) => {
      const { code, err } = await ctl.run([...words, id, ...TIMEOUT]);
      expect(err).toContain("the time is over");
      expect(err).toContain("does not answer");
      expect(code).toBe(124);
    },
  );

  test("ends a create that is to start with 124", async () => {
    const args = ["create", "llamacpp", "--model", "/m", "--alias", "x", "--start", ...TIMEOUT];
    expect((await ctl.run(args)).code).toBe(124);
  });
});

describe("a daemon that lists and answers nothing else", () => {
  const instance = {
    id: "5f0c8f0e-0000-4000-8000-000000000000",
    config: { alias: "a", backend_type: "llamacpp", model: "m" },
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
  };

  test.each([[["start"]], [["restart"]], [["wait"]], [["stop"]]])("ends %j with 124", async (words) => {
    await using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request) =>
        new URL(request.url).pathname === "/instances"
          ? Response.json([instance])
          : new Promise<Response>(() => undefined),
    });
    const target = ["--url", `http://127.0.0.1:${server.port}`, "--key", "k"];
    const { code, err } = await new Ctl(temporaryFolder()).run([...words, "a", ...TIMEOUT, ...target]);
    expect(err).toContain("the time is over");
    expect(code).toBe(124);
    void server.stop(true);
  });
});
