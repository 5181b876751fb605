import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type HealthTarget, ReadyHint, unreadyProblem, waitUntilReady } from "../../src/model-server/readiness.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A server in this process, whose own group is taken for the model server's. */
const serve = (status: number | null) => {
  const behaviour = { status };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      behaviour.status === null
        ? new Promise<Response>(() => undefined)
        : new Response("", { status: behaviour.status, headers: { location: "/" } }),
  });
  ends.push(() => void server.stop(true));
  const endpoint = { host: "127.0.0.1", port: server.port ?? 0, healthPath: "/health" };
  return { behaviour, endpoint, url: `http://127.0.0.1:${server.port}/health` };
};

const watch = (endpoint: HealthTarget, log: { listens: boolean }, patience?: number) => {
  const reports: string[] = [];
  const hint = new ReadyHint();
  let over = false;
  ends.push(() => {
    over = true;
    hint.give();
  });
  const waiting = { ended: () => over, listens: () => log.listens, report: (text: string) => void reports.push(text) };
  return { reports, readiness: waitUntilReady(endpoint, process.pid, hint, waiting, patience) };
};

describe("a server that is waited for", () => {
  for (const status of [404, 500, 401, 302]) {
    test(`whose log says that it listens, and whose health check answers ${status}, is told of once`, async () => {
      const { behaviour, endpoint, url } = serve(status);
      const log = { listens: false };
      const { reports, readiness } = watch(endpoint, log);
      log.listens = true;
      await until("the report", () => reports.length > 0);
      expect(reports).toEqual([`its log says that it listens, but its health check ${url} answers ${status}`]);
      behaviour.status = 200;
      await readiness;
      expect(reports.length).toBe(1);
    });
  }

  test("whose log says that it listens where nothing answers is told of, with what may be the cause", async () => {
    const { reports } = watch({ host: "127.0.0.1", port: 1, healthPath: "/health" }, { listens: true });
    expect(await until("the report", () => reports[0])).toBe(
      "its log says that it listens, but its health check http://127.0.0.1:1/health gets no answer: it may listen at another address, or want TLS",
    );
  });

  test("whose log says nothing is told of when patience is at an end, and again when the answer is another", async () => {
    const { behaviour, endpoint, url } = serve(503);
    const { reports } = watch(endpoint, { listens: false }, 50);
    await until("the report", () => reports.length > 0);
    behaviour.status = 404;
    await until("the next report", () => reports.length > 1);
    const at = (status: number) => `not ready after 0 s: its health check ${url} answers ${status}`;
    expect(reports).toEqual([at(503), at(404)]);
  });

  test("is given 30 s, and a second from the line that it listens", () => {
    const endpoint = { host: "::", port: 3500, healthPath: "/health" };
    const problem = (status: number | null, waited: number, listening: number) =>
      unreadyProblem(endpoint, status, waited, listening);
    expect([problem(503, 29_999, 0), problem(null, 29_999, 0), problem(404, 999, 999)]).toEqual([null, null, null]);
    expect(problem(503, 30_000, 0)).toBe("not ready after 30 s: its health check http://[::1]:3500/health answers 503");
    expect(problem(null, 30_000, 0)).toBe(
      "not ready after 30 s: its health check http://[::1]:3500/health gets no answer yet",
    );
    expect(problem(404, 1000, 1000)).toContain("answers 404");
  });
});

test("a hint that comes during a health check is not lost: the pause after it is none", async () => {
  const hint = new ReadyHint();
  hint.give();
  await hint.pause(2 ** 30);
  const pausing = hint.pause(2 ** 30);
  hint.give();
  await pausing;
});
