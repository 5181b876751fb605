import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Ctl, type Done, Terminal } from "../support/ctl.ts";
import { CutProxy } from "../support/cut-proxy.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { modelServersOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** How `solar-host ctl top` begins and ends otherwise than by keys. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  ctl = Ctl.of(daemon);
  const { id } = await daemon.createFake({}, { alias: "steady" });
  expect((await daemon.start(id)).status).toBe(200);
  await daemon.createFake({}, { alias: "resting" });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  // What the killed daemon left running, where the next one did not come to adopt it.
  for (const pid of modelServersOf(daemon.dir)) process.kill(pid, "SIGKILL");
});

test("--once prints one table below what is on the terminal", async () => {
  using terminal = await Terminal.open("echo before; solar-host ctl top --once", ctl.environment());
  const end = await terminal.shows("ended with 0");
  expect(end).toMatch(/^before\n[\s\S]*^NAME +STATUS[\s\S]*^steady +running /m);
});

test("--once --json is one line, with every instance and the state of those that run", async () => {
  const out = await ctl.ok(["top", "--once", "--json"]);
  const { instances } = JSON.parse(out);
  expect(out.trimEnd()).not.toContain("\n");
  expect(instances).toMatchObject([
    { instance: { status: "running" }, state: { phase: "idle" } },
    { instance: { status: "stopped" }, state: null },
  ]);
});

test("what cannot be meant is refused with 2", async () => {
  const wrong = [
    ["--interval", "soon"],
    ["-n", "0"],
    ["--once", "-n", "3"],
  ];
  for (const words of wrong) expect([words, (await ctl.run(["top", ...words])).code]).toEqual([words, 2]);
});

test("SIGTERM ends it with 143, and the screen is given back", async () => {
  const command = "sh -c 'echo before; echo $$ > \"$HOME/pid\"; exec solar-host ctl top'";
  using terminal = await Terminal.open(command, ctl.environment());
  await terminal.shows(/^steady /m);
  process.kill(Number(await Bun.file(`${ctl.home}/pid`).text()), "SIGTERM");
  const end = await terminal.shows("ended with 143");
  expect(end).toContain("before");
  expect(end).not.toContain("NAME");
});

test("a daemon of this machine that comes back on another port is found again", async () => {
  using terminal = await Terminal.open("solar-host ctl top --interval 100ms", ctl.environment());
  await terminal.shows(/^steady +running /m);
  const before = daemon.url;
  expect(terminal.screen()).toContain(before);
  await daemon.kill();
  await terminal.shows("trying again");
  daemon = await daemon.again();
  await until("the next one to be shown", () => !terminal.screen().includes("trying again"));
  expect(daemon.url).not.toBe(before);
  expect(terminal.screen()).toContain(daemon.url);
  await terminal.shows(/^steady +running +idle /m);
  terminal.type("q");
  await terminal.shows("ended with 0");
});

test("one socket has it all, however many instances there are and however often they are looked at", async () => {
  const others = await Promise.all([1, 2, 3].map((n) => daemon.createFake({}, { alias: `other-${n}` })));
  await Promise.all(others.map(({ id }) => daemon.start(id)));
  try {
    await using proxy = await CutProxy.to(daemon.port);
    const words = ["top", "--json", "-n", "5", "--interval", "100ms", "--url", proxy.url, "--key", KEY];
    const looks = (await ctl.ok(words)).trim().split("\n");
    expect(looks).toHaveLength(5);
    expect(
      JSON.parse(looks.at(-1) ?? "").instances.filter(({ state }: { state: unknown }) => state !== null),
    ).toHaveLength(4);
    expect({ upgrades: proxy.upgrades, connections: proxy.connections }).toEqual({ upgrades: 1, connections: 2 });
  } finally {
    await Promise.all(others.map(({ id }) => daemon.stop(id).then(() => daemon.request("DELETE", `/instances/${id}`))));
  }
});

test("what happens meanwhile is shown: an instance that is created, started and deleted", async () => {
  using terminal = await Terminal.open("solar-host ctl top --interval 100ms", ctl.environment());
  await terminal.shows(/^steady /m);
  const { id } = await daemon.createFake({}, { alias: "passing" });
  await terminal.shows(/^passing +stopped +- /m);
  await daemon.start(id);
  await terminal.shows(/^passing +running +idle /m);
  await daemon.stop(id);
  await terminal.shows(/^passing +stopped +- /m);
  await daemon.request("DELETE", `/instances/${id}`);
  await until("it to be gone", () => !terminal.screen().includes("passing"));
});

test("a daemon without these events is said to be of another version, and a proxy without WebSockets is told", async () => {
  const top = async (status: number, detail: string): Promise<Done> => {
    await using old = Bun.serve({
      port: 0,
      fetch: ({ url }) =>
        url.endsWith("/health")
          ? Response.json({ status: "healthy", service: "solar-host", version: "2.0.0" })
          : Response.json({ detail }, { status }),
    });
    return await ctl.run(["top", "--once", "--url", String(old.url)]);
  };
  const old = await top(404, "Not Found");
  expect(old.code).toBe(1);
  expect(old.err).toContain("runs solar-host 2.0.0, which this client");
  const closed = await top(426, "This is a WebSocket");
  expect(closed.code).toBe(1);
  expect(closed.err).toContain("answers, but no WebSocket to it can be opened");
});
