import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Instance, LogLine } from "../../src/contract/index.ts";
import { CtlProcess, ctlEnvironment } from "../support/ctl-process.ts";
import { CutProxy } from "../support/cut-proxy.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { requireBinary } from "../support/paths.ts";
import { modelServersOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** `solar-host ctl logs` against real daemons. */

setDefaultTimeout(120_000);

const KILLS = 20;

/** Has the fake server write; gives the number of the last line. */
const write = async (instance: Instance, query: string, raw?: string): Promise<number> => {
  const answer = await fetch(`http://127.0.0.1:${instance.port}/write?${query}`, {
    method: "POST",
    headers: { Authorization: "Bearer instance-key" },
    ...(raw === undefined ? {} : { body: raw }),
  });
  return ((await answer.json()) as { last: number }).last;
};

const running = async (daemon: TestDaemon, config = {}, fault = {}): Promise<Instance> => {
  const { id } = await daemon.createFake(fault, config);
  const { status, body } = await daemon.start(id);
  expect([status, body.detail]).toEqual([200, undefined as never]);
  return body.instance;
};

const numbered = (number: number): string => `line ${String(number).padStart(6, "0")}`;

/** All lines of the log, as the daemon has them. */
const allLines = async (daemon: TestDaemon, id: string, last: number): Promise<LogLine[]> => {
  await until("the last line", async () => (await daemon.logs(id, "?tail=1"))[0]?.line.startsWith(numbered(last)));
  const lines: LogLine[] = [];
  for (;;) {
    const page = await daemon.logs(id, `?after=${lines.length - 1}&limit=10000`);
    lines.push(...page);
    if (page.length < 10_000) return lines;
  }
};

/** What was printed is the whole log from its first line on: each line once, in order, as it was written. */
const expectWhole = (ctl: CtlProcess, lines: readonly LogLine[]): void => {
  const printed = ctl.lines.map((line) => JSON.parse(line) as LogLine);
  expect(printed.findIndex(({ seq }, at) => seq !== at)).toBe(-1);
  const numbers = printed.flatMap(({ line }) => /^line (\d+)/.exec(line)?.[1] ?? []).map(Number);
  expect(numbers.findIndex((number, at) => number !== at + 1)).toBe(-1);
  expect(printed.map(({ line }) => line)).toEqual(lines.map(({ line }) => line));
};

/** The end of a daemon that was killed again and again: with its models, which had been left running. */
const endAll = (dir: string): void => {
  for (const pid of modelServersOf(dir)) process.kill(pid, "SIGKILL");
};

const FOLLOW = ["logs", "-f", "--tail", "all", "--json", "fake"];

describe.concurrent("logs -f", () => {
  test("gives each line once while the daemon is killed twenty times, each next one on another port", async () => {
    let daemon = await TestDaemon.start();
    const { dir } = daemon;
    try {
      const instance = await running(daemon);
      await using ctl = CtlProcess.start(FOLLOW, { cwd: dir });
      const ports = new Set([daemon.port]);
      let last = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        last = await write(instance, "lines=50");
        // The follower is with this daemon: each kill is one that it has to get over.
        await ctl.printed(numbered(last));
        const writing = write(instance, "lines=400&rate=4000");
        await until("lines to come while the daemon dies", () => ctl.stdout.includes(numbered(last + 20)));
        await daemon.kill();
        daemon = await daemon.again();
        ports.add(daemon.port);
        last = await writing;
      }
      last = await write(instance, "lines=50");
      await ctl.printed(numbered(last));
      expectWhole(ctl, await allLines(daemon, instance.id, last));
      expect(ports.size).toBeGreaterThan(1);
      expect(ctl.stderr.match(/trying again/g)?.length).toBe(KILLS);
      expect(ctl.stderr).not.toContain("missing");
      expect(await ctl.interrupt()).toBe(130);
    } finally {
      await daemon[Symbol.asyncDispose]();
      endAll(dir);
    }
  });

  test("gives each line once while its connection is cut under load", async () => {
    await using daemon = await TestDaemon.start();
    await using proxy = await CutProxy.to(daemon.port);
    const instance = await running(daemon);
    const env = { SOLAR_HOST_URL: proxy.url, SOLAR_HOST_API_KEY: KEY };
    await using ctl = CtlProcess.start(FOLLOW, { cwd: daemon.dir, env });
    let last = 0;
    for (let cut = 0; cut < 5; cut++) {
      const before = last;
      const writing = write(instance, "lines=2000&rate=8000");
      await ctl.printed(numbered(before + 500));
      proxy.cut();
      last = await writing;
      await ctl.printed(numbered(last));
    }
    expectWhole(ctl, await allLines(daemon, instance.id, last));
    // The first cut may come while the backlog is read, which is got over in silence.
    expect(ctl.stderr.match(/connected again/g)?.length).toBeGreaterThanOrEqual(4);
    expect(ctl.stderr).not.toContain("missing");
  });

  test("notices a connection on which nothing passes any more, and goes on behind its last line", async () => {
    await using daemon = await TestDaemon.start();
    await using proxy = await CutProxy.to(daemon.port);
    const instance = await running(daemon);
    const env = { SOLAR_HOST_URL: proxy.url, SOLAR_HOST_API_KEY: KEY };
    await using ctl = CtlProcess.start(FOLLOW, { cwd: daemon.dir, env });
    // The first lines may be read by a request, those behind them come by the connection that stays.
    await ctl.printed(numbered(await write(instance, "lines=100")));
    await ctl.printed(numbered(await write(instance, "lines=100")));
    proxy.silence();
    const last = await write(instance, "lines=100");
    await ctl.printed(numbered(last));
    expectWhole(ctl, await allLines(daemon, instance.id, last));
    expect(ctl.stderr).toContain("trying again");
  });

  test("stops taking lines while its reader is slow, and loses none", async () => {
    await using daemon = await TestDaemon.start();
    await using proxy = await CutProxy.to(daemon.port);
    const instance = await running(daemon);
    const pipe = join(daemon.dir, "pipe");
    expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
    // Held open in both directions: a pipe without a reader could not even be opened.
    const held = openSync(pipe, "r+");
    const env = ctlEnvironment(daemon.dir, { SOLAR_HOST_URL: proxy.url, SOLAR_HOST_API_KEY: KEY });
    const command = [requireBinary(), "ctl", "logs", "-f", "--tail", "all", "fake"];
    const ctl = Bun.spawn(command, { cwd: daemon.dir, env, stdin: "ignore", stdout: held, stderr: "pipe" });
    try {
      // The list, the backlog, and the socket: from now on it follows.
      await until("the client to follow", () => proxy.upgrades === 1);
      const last = await write(instance, "lines=200000&bytes=120");
      const lines = await allLines(daemon, instance.id, last);
      const reader = Bun.spawn(["head", "-n", String(lines.length), pipe], { stdin: "ignore", stdout: "pipe" });
      const printed = (await reader.stdout.text()).split("\n").slice(0, -1);
      expect(printed.findIndex((line, at) => line !== lines[at]?.line)).toBe(-1);
      expect(printed).toHaveLength(lines.length);
      // It had let go of the socket, and came back behind its last line.
      expect(proxy.upgrades).toBeGreaterThan(1);
      ctl.kill("SIGINT");
      expect([await ctl.exited, await ctl.stderr.text()]).toEqual([130, ""]);
    } finally {
      ctl.kill("SIGKILL");
      closeSync(held);
    }
  });

  test("ends with 4 when the instance is deleted, and with 4 for one that never was", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    await using ctl = CtlProcess.start(["logs", "-f", "fake"], { cwd: daemon.dir });
    await ctl.printed(numbered(await write(instance, "lines=3")));
    await daemon.stop(instance.id);
    await daemon.request("DELETE", `/instances/${instance.id}`);
    expect(await ctl.ended()).toBe(4);
    expect(ctl.stderr).toContain("fake: Instance deleted");
    expect((await CtlProcess.run(["logs", "fake"], { cwd: daemon.dir })).code).toBe(4);
  });
});

describe.concurrent("logs", () => {
  test("prints the last 100 lines, or what --tail, --since and --grep ask for", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_BUFFER_SIZE: "50" } });
    const instance = await running(daemon);
    await allLines(daemon, instance.id, await write(instance, "lines=5000"));
    await until("the clock to go on", () => Bun.sleep(50).then(() => true));
    const moment = new Date().toISOString();
    const lines = await allLines(daemon, instance.id, await write(instance, "lines=40"));
    const texts = lines.map(({ line }) => line);
    const run = async (...words: string[]): Promise<string[]> => {
      const done = await CtlProcess.run(["logs", "fake", ...words], { cwd: daemon.dir });
      expect([done.code, done.stderr]).toEqual([0, ""]);
      return done.lines;
    };
    expect(await run()).toEqual(texts.slice(-100));
    expect(await run("--tail", "7")).toEqual(texts.slice(-7));
    expect(await run("--tail", "0")).toEqual([]);
    expect(await run("--tail", "all")).toEqual(texts);
    expect(await run("--since", moment)).toEqual(texts.slice(-40));
    expect(await run("--since", moment, "--tail", "3")).toEqual(texts.slice(-3));
    expect(await run("--since", "1h")).toEqual(texts);
    expect(await run("--grep", "^line 00(0001|504\\d) ")).toEqual(
      texts.filter((text) => /^line 00(0001|504\d) /.test(text)),
    );
    expect(await run("--grep", "LINE 005040", "-i")).toEqual(texts.slice(-1));
    expect(await run("--grep", "LINE 005040")).toEqual([]);
    expect(await run("--tail", "2", "-t")).toEqual(
      lines.slice(-2).map(({ timestamp, line }) => `${timestamp} ${line}`),
    );
    expect((await run("--tail", "2", "--json")).map((line) => JSON.parse(line))).toEqual(lines.slice(-2));
  });

  test("prints all lines where they are so long that an answer of the API has few of them", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    const last = await write(instance, "lines=90&bytes=500000");
    await until("the last line", async () =>
      (await daemon.logs(instance.id, "?tail=1"))[0]?.line.startsWith(numbered(last)),
    );
    const [{ seq } = { seq: -1 }] = await daemon.logs(instance.id, "?tail=1");
    expect((await daemon.logs(instance.id, "?after=-1&limit=10000")).length).toBeLessThan(seq + 1);
    const done = await CtlProcess.run(["logs", "fake", "--tail", "all"], { cwd: daemon.dir });
    expect(done.lines).toHaveLength(seq + 1);
  });

  test("names each of several instances, in the order of time, and follows them all", async () => {
    await using daemon = await TestDaemon.start();
    const first = await running(daemon, { alias: "apple" });
    const second = await running(daemon, { alias: "fig" });
    const marked = (n: number): [Instance, string] => [n % 2 === 0 ? first : second, `mark ${n}\n`];
    for (let n = 0; n < 6; n++) {
      const [instance, text] = marked(n);
      await write(instance, "lines=0", text);
      await until("the line", async () => (await daemon.logs(instance.id, "?tail=1"))[0]?.line === text.trim());
      // Times have a millisecond: of two lines in the same one, either may come first.
      await Bun.sleep(2);
    }
    await using ctl = CtlProcess.start(["logs", "-f", "--grep", "mark", "fig", "apple"], { cwd: daemon.dir });
    const expected = ["apple | mark 0", "fig   | mark 1", "apple | mark 2", "fig   | mark 3", "apple | mark 4"];
    await ctl.printed("mark 5");
    expect(ctl.lines).toEqual([...expected, "fig   | mark 5"]);
    await write(second, "lines=0", "mark 6\n");
    await ctl.printed("fig   | mark 6");
    await write(first, "lines=0", "mark 7\n");
    await ctl.printed("apple | mark 7");
    expect(await ctl.interrupt()).toBe(130);
    const json = await CtlProcess.run(["logs", "--all", "--json", "--tail", "1"], { cwd: daemon.dir });
    const shown = json.lines.map((line) => JSON.parse(line) as LogLine & { instance_id: string });
    expect(shown.map(({ instance_id, line }) => [instance_id, line])).toEqual([
      [second.id, "mark 6"],
      [first.id, "mark 7"],
    ]);
  });

  test("says on stderr which lines are gone", async () => {
    await using daemon = await TestDaemon.start({ env: { LOG_KEEP_FILES: "1", LOG_BUFFER_SIZE: "3" } });
    const instance = await running(daemon);
    await allLines(daemon, instance.id, await write(instance, "lines=100"));
    await daemon.request("POST", `/instances/${instance.id}/restart`);
    const first = await until("the first file to be gone", async () => {
      const [line] = await daemon.logs(instance.id, "?after=-1&limit=1");
      return line !== undefined && line.seq > 0 ? line.seq : null;
    });
    const done = await CtlProcess.run(["logs", "--tail", "all", "--json", "fake"], { cwd: daemon.dir });
    expect(JSON.parse(done.lines[0] ?? "").seq).toBe(first);
    expect(done.stderr).toContain(`fake: lines 0 to ${first - 1} (${first}) are missing`);
    expect(done.code).toBe(0);
  });

  test("is silent when its reader goes away, following or not", async () => {
    await using daemon = await TestDaemon.start();
    const instance = await running(daemon);
    await write(instance, "lines=20000");
    for (const follow of ["", "-f"]) {
      const command = `${requireBinary()} ctl logs ${follow} --tail all fake | head -1; echo "\${PIPESTATUS[0]}"`;
      const shell = Bun.spawn(["bash", "-c", command], {
        cwd: daemon.dir,
        env: ctlEnvironment(daemon.dir),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([shell.stdout.text(), shell.stderr.text()]);
      expect([out.split("\n").length, out.split("\n")[1], err]).toEqual([3, "0", ""]);
    }
  });

  test("says what is wrong with what it was asked for", async () => {
    await using daemon = await TestDaemon.start();
    await running(daemon);
    const problems: [string[], string][] = [
      [["--tail", "x"], "--tail 'x' is no number of lines"],
      [["--since", "yesterday"], "--since 'yesterday' is no time"],
      [["--grep", "("], "--grep '(' is no regular expression: a '('"],
    ];
    for (const [words, message] of problems) {
      const done = await CtlProcess.run(["logs", "fake", ...words], { cwd: daemon.dir });
      expect([done.code, done.stdout]).toEqual([2, ""]);
      expect(done.stderr).toContain(message);
    }
  });
});
