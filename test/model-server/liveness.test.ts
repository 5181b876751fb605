import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { judgeLiveness, type LivenessFacts, watchLiveness } from "../../src/model-server/liveness.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const facts = (changes: Partial<LivenessFacts>): LivenessFacts => ({
  missed: 0,
  status: null,
  busy: false,
  silentFor: 0,
  stuckFor: 0,
  hangTimeout: 600_000,
  ...changes,
});

const verdicts = (changes: Partial<LivenessFacts>): string => judgeLiveness(facts(changes)).type;

describe("a model server that misses health checks", () => {
  test("is well while it answers, whatever was before", () => {
    expect(verdicts({ missed: 0, busy: true, silentFor: 9_999_999 })).toBe("well");
  });

  test("is given three", () => {
    expect([1, 2, 3, 4].map((missed) => verdicts({ missed }))).toEqual(["missed", "missed", "hung", "hung"]);
  });

  test("is left alone while it is at work, for a limited time, and that is reported", () => {
    expect(verdicts({ missed: 3, busy: true, silentFor: 30_000 })).toBe("silent-at-work");
    expect(verdicts({ missed: 300, busy: true, silentFor: 599_999 })).toBe("silent-at-work");
    expect(verdicts({ missed: 300, busy: true, silentFor: 600_000 })).toBe("hung");
  });

  test("is hung though it answers, where its work has not moved for as long as a silent one may take", () => {
    expect(verdicts({ stuckFor: 599_999, busy: true })).toBe("well");
    expect(judgeLiveness(facts({ stuckFor: 600_000, busy: true }))).toEqual({
      type: "hung",
      message: "the model server answers its health check, but has not got on with its work for 600 s",
    });
  });

  test("is described by what was seen", () => {
    expect(judgeLiveness(facts({ missed: 3 }))).toEqual({
      type: "hung",
      message: "the model server does not answer any more: 3 health checks in a row missed",
    });
    expect(judgeLiveness(facts({ missed: 9, busy: true, silentFor: 601_000 }))).toEqual({
      type: "hung",
      message: "the model server has been at work without an answer for 601 s",
    });
    expect(judgeLiveness(facts({ missed: 4, busy: true, silentFor: 40_000 }))).toMatchObject({
      message:
        "the model server has not answered 4 health checks in a row, but is at work; it is left alone for at most 600 s",
    });
  });
});

describe("the watch over a model server", () => {
  const endings: (() => void)[] = [];
  afterEach(() => {
    for (const end of endings.splice(0)) end();
  });

  /** A server that answers, or keeps its callers waiting. */
  const serve = () => {
    const behaviour = { silent: false, status: 200, asked: 0 };
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => {
        behaviour.asked += 1;
        return behaviour.silent
          ? new Promise<Response>(() => undefined)
          : new Response("", { status: behaviour.status });
      },
    });
    endings.push(() => void server.stop(true));
    return { behaviour, endpoint: { host: "127.0.0.1", port: server.port ?? 0, healthPath: "/health" } };
  };

  const watch = (
    endpoint: Parameters<typeof watchLiveness>[1],
    signs: { busy: boolean; lines?: number },
    hangTimeout = 600_000,
  ) => {
    const reports: (string | null)[] = [];
    const liveness = watchLiveness(
      { healthInterval: 20, hangTimeout },
      endpoint,
      { lines: 0, stuckFor: 0, ...signs },
      (message) => reports.push(message),
    );
    endings.push(liveness.end);
    let hung: string | null = null;
    void liveness.hung.then((verdict) => {
      hung = verdict.hung;
    });
    return { liveness, reports, hung: () => hung };
  };

  test("finds one that has gone silent", async () => {
    const { behaviour, endpoint } = serve();
    const { hung } = watch(endpoint, { busy: false });
    await until("some answers", () => behaviour.asked > 3);
    expect(hung()).toBeNull();
    behaviour.silent = true;
    expect(await until("the verdict", hung)).toContain("3 health checks in a row missed");
  });

  for (const status of [500, 404, 401, 302]) {
    test(`does not take ${status} for well: told while it is at work, else it is to be restarted`, async () => {
      const { behaviour, endpoint } = serve();
      const idle = watch(endpoint, { busy: false });
      const atWork = watch(endpoint, { busy: true });
      await until("some answers", () => behaviour.asked > 3);
      expect([idle.hung(), atWork.reports]).toEqual([null, []]);
      behaviour.status = status;
      expect(await until("the verdict", idle.hung)).toBe(
        `the model server is not well: its health check answers ${status}, 3 times in a row`,
      );
      const told = await until("the report", () => atWork.reports[0]);
      expect(told).toStartWith(`the model server is not well: its health check answers ${status}, but it is at work`);
      behaviour.status = 200;
      await until("the report to be taken back", () => atWork.reports[1] === null);
      expect(atWork.hung()).toBeNull();
    });
  }

  test("gives one that loads again the time of one at work", () => {
    expect(verdicts({ status: 503, silentFor: 599_999 })).toBe("well");
    expect(judgeLiveness(facts({ status: 503, silentFor: 600_000 }))).toEqual({
      type: "hung",
      message: "the model server is not well: its health check answers 503, for 600 s",
    });
  });

  test("does not mind a 503 at once: it is the answer of a server that loads", async () => {
    const { behaviour, endpoint } = serve();
    behaviour.status = 503;
    const { hung, reports } = watch(endpoint, { busy: false });
    await until("some answers", () => behaviour.asked > 8);
    expect([hung(), reports]).toEqual([null, []]);
  });

  test("reports a busy one once, takes that back when it answers, and never calls it hung", async () => {
    const { behaviour, endpoint } = serve();
    behaviour.silent = true;
    const { hung, reports } = watch(endpoint, { busy: true });
    await until("some checks", () => behaviour.asked > 8);
    expect([hung(), reports.length]).toEqual([null, 1]);
    behaviour.silent = false;
    await until("the report to be taken back", () => reports.length === 2);
    expect(reports[1]).toBeNull();
    expect(hung()).toBeNull();
  });

  test("takes a log that grows for work: told, left alone, and called hung once the log stands still", async () => {
    const { behaviour, endpoint } = serve();
    behaviour.silent = true;
    const signs = { busy: false, lines: 0 };
    // Another number each time that it is asked for: some lines came.
    let writing = true;
    const growing = {
      busy: false,
      stuckFor: 0,
      get lines() {
        if (writing) signs.lines += 1;
        return signs.lines;
      },
    };
    const reports: (string | null)[] = [];
    const liveness = watchLiveness({ healthInterval: 20, hangTimeout: 600_000 }, endpoint, growing, (message) =>
      reports.push(message),
    );
    endings.push(liveness.end);
    let hung: string | null = null;
    void liveness.hung.then((verdict) => {
      hung = verdict.hung;
    });
    await until("some checks", () => behaviour.asked > 8);
    expect([hung, reports.length]).toEqual([null, 1]);
    writing = false;
    expect(await until("the verdict", () => hung)).toContain("does not answer any more");
  });

  test("does not take for work what was logged before it went silent", async () => {
    const { behaviour, endpoint } = serve();
    behaviour.silent = true;
    const { hung, reports } = watch(endpoint, { busy: false, lines: 4711 });
    await until("the verdict", hung);
    expect([behaviour.asked, reports]).toEqual([3, []]);
  });

  test("gives up a busy one after the time it may be silent", async () => {
    const { behaviour, endpoint } = serve();
    behaviour.silent = true;
    const { hung } = watch(endpoint, { busy: true }, 300);
    expect(await until("the verdict", hung)).toContain("at work without an answer");
  });

  test("asks no more once it has ended, nor where it is off", async () => {
    const { behaviour, endpoint } = serve();
    const { liveness } = watch(endpoint, { busy: false });
    await until("one answer", () => behaviour.asked > 0);
    liveness.end();
    await Bun.sleep(30);
    const { asked } = behaviour;
    endings.push(
      watchLiveness(
        { healthInterval: 0, hangTimeout: 1 },
        endpoint,
        { busy: false, lines: 0, stuckFor: 0 },
        () => undefined,
      ).end,
    );
    await Bun.sleep(100);
    expect(behaviour.asked).toBe(asked);
  });
});
