import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl, Terminal } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { until } from "../support/until.ts";

/** The live table on a pseudo-terminal, and what programs get of it. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;
let instance: Instance;

beforeAll(async () => {
  // A fixed port, so that the next daemon is found where the first one was.
  const port = String(18_000 + (process.pid % 1000));
  daemon = await TestDaemon.start({ env: { PORT: port, KEEP_INSTANCES: "true", STOP_TIMEOUT: "2" } });
  ctl = Ctl.of(daemon);
  instance = await daemon.createFake({ tokens: 100_000, tokenMs: 20 }, { alias: "busy" });
  instance = (await daemon.start(instance.id)).body.instance;
});
afterAll(async () => {
  await daemon.stop(instance.id);
  await daemon[Symbol.asyncDispose]();
});

const open = (args = "", width = 100): Promise<Terminal> =>
  Terminal.open(`solar-host ctl top --interval 100ms ${args}`, ctl.environment(), width, 20);

const row = (screen: string): string => screen.split("\n").find((line) => line.startsWith("busy")) ?? "";

/** Keeps a generation going until it is ended. */
const generate = (): AbortController => {
  const controller = new AbortController();
  const body = JSON.stringify({ messages: [{ role: "user", content: "x" }], stream: true });
  const headers = { Authorization: `Bearer ${instance.config.api_key}` };
  void fetch(`http://127.0.0.1:${instance.port}/v1/chat/completions`, {
    method: "POST",
    headers,
    body,
    signal: controller.signal,
  })
    .then((answer) => answer.text())
    .catch(() => undefined);
  return controller;
};

describe("on a terminal", () => {
  test("one with fewer rows than instances scrolls, sorts and filters by keys, and keeps a row in four lines", async () => {
    const others = await Promise.all(
      Array.from({ length: 50 }, (_, n) => daemon.createFake({}, { alias: `other-${String(n).padStart(2, "0")}` })),
    );
    try {
      using small = await Terminal.open("solar-host ctl top", ctl.environment(), 100, 4);
      await small.shows(/busy +running[\s\S]*\nq quits/);
      small.type("q");
      await small.shows("ended with 0");
      using terminal = await open("", 120);
      const first = await terminal.shows(/1-\d+ of 51/);
      expect(first).toMatch(/busy +running/);
      expect(first).not.toContain("other-49");
      terminal.type("End");
      expect(await terminal.shows(/other-49/)).toMatch(/-51 of 51/);
      terminal.type("Home");
      await terminal.shows(/busy +running/);
      terminal.type("PageDown");
      await until("the next page", () => !/busy +running/.test(terminal.screen()));
      terminal.type("n");
      terminal.type("r");
      await terminal.shows("by name, reversed");
      expect(terminal.screen()).toContain("other-49");
      for (const key of ["/", "r", "-", "1", "7", "Enter"]) terminal.type(key);
      await terminal.shows(/other-17 +stopped[\s\S]*filter: r-17/);
      expect(terminal.screen()).not.toContain("other-18");
      terminal.type("q");
      await terminal.shows("ended with 0");
    } finally {
      await Promise.all(others.map(({ id }) => daemon.request("DELETE", `/instances/${id}`)));
    }
  });

  test("it is redrawn in place: what changes shows, and there is one table", async () => {
    using terminal = await open();
    const idle = await terminal.shows(/busy +running +idle +0/);
    expect(idle.match(/NAME/g)).toHaveLength(1);
    expect(idle).toContain(`${daemon.url}`);
    expect(idle).toMatch(/RAM {2}[\d.]+\/[\d.]+ GiB/);
    const generation = generate();
    const busy = await terminal.shows(/busy +running +generating +1 +[\d.]+ +\d+/);
    const tokens = (screen: string): number => Number(row(screen).trim().split(/ +/)[5]);
    await until("more tokens", () => tokens(terminal.screen()) > tokens(busy));
    generation.abort();
    await terminal.shows(/busy +running +idle +0/);
    expect(terminal.screen().match(/NAME/g)).toHaveLength(1);
    terminal.type("q");
    await terminal.shows("ended with 0");
  });

  test("q gives the screen back as it was", async () => {
    using terminal = await Terminal.open(
      "echo before it; solar-host ctl top; stty -a | grep -o ' icanon'",
      ctl.environment(),
    );
    await terminal.shows("q quits");
    expect(terminal.screen()).not.toContain("before it");
    terminal.type("q");
    const after = await terminal.shows("icanon");
    expect(after).toContain("before it");
    expect(after).not.toContain("q quits");
  });

  test("Ctrl-C ends it with 130, and the screen is given back", async () => {
    using terminal = await open();
    await terminal.shows("q quits");
    terminal.type("C-c");
    expect(await terminal.shows("ended with 130")).not.toContain("q quits");
  });

  test("a narrow terminal gets narrow lines", async () => {
    using terminal = await open("", 45);
    const screen = await terminal.shows("q quits");
    expect(Math.max(...screen.split("\n").map((line) => Bun.stringWidth(line)))).toBeLessThanOrEqual(45);
    expect(row(screen)).toContain("run");
  });

  test("a daemon that is away for a while is told, and its rows come back", async () => {
    using terminal = await open();
    await terminal.shows(/busy +running/);
    await daemon.kill();
    await terminal.shows("trying again");
    expect(terminal.screen()).toContain("busy");
    daemon = await daemon.again();
    await until("the table to be as it was", () => !terminal.screen().includes("trying again"));
    await terminal.shows(/busy +running +idle/);
    terminal.type("q");
    await terminal.shows("ended with 0");
  });
});

describe("elsewhere", () => {
  test("the table is printed once, without colours and without taking the screen", async () => {
    const out = await ctl.ok(["top"]);
    expect(out).not.toContain("\u001b");
    expect(out.match(/NAME/g)).toHaveLength(1);
    expect(row(out)).toMatch(/running +idle/);
  });

  test("--json is a line each time, of what the API answers", async () => {
    const lines = (await ctl.ok(["top", "--json", "-n", "2", "--interval", "100ms"])).trim().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const look = JSON.parse(line);
      expect(look.memory).toMatchObject({ memory_type: expect.any(String), devices: expect.any(Array) });
      expect(look.instances[0].instance).toMatchObject({ id: instance.id, status: "running" });
      expect(look.instances[0].state).toMatchObject({ instance_id: instance.id, phase: "idle" });
    }
  });

  test("a daemon that is not there ends it with 5", async () => {
    expect((await ctl.run(["top", "--url", "http://127.0.0.1:1", "--key", KEY])).code).toBe(5);
  });
});

describe("state", () => {
  test("-f prints each change as it comes, as JSON a line each", async () => {
    const child = ctl.spawn(["state", "-f", "busy", "--json"]);
    let out = "";
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) out += decoder.decode(chunk, { stream: true });
    })();
    await until("the present state", () => out.includes('"phase":"idle"'));
    const generation = generate();
    await until("the change", () => out.includes('"phase":"generating"'));
    generation.abort();
    await until("the end of it", () => out.trimEnd().split("\n").at(-1)?.includes('"phase":"idle"') ?? false);
    for (const line of out.trimEnd().split("\n")) expect(JSON.parse(line).instance_id).toBe(instance.id);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });
});
