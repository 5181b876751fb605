import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { LogStart } from "../../src/contract/index.ts";
import { TestDaemon } from "../support/daemon.ts";

/** What of a log each start wrote. */

setDefaultTimeout(60_000);

const startsOf = async (daemon: TestDaemon, id: string): Promise<LogStart[]> =>
  (await daemon.request<LogStart[]>("GET", `/instances/${id}/logs/starts`)).body;

describe("the starts of a log", () => {
  test("follow each other without a gap, end when the server ended, and the one that runs has no end", async () => {
    await using daemon = await TestDaemon.start();
    const { id } = await daemon.createFake();
    expect(await startsOf(daemon, id)).toEqual([]);
    const pids: (number | null)[] = [];
    for (let start = 0; start < 3; start++) {
      pids.push((await daemon.start(id)).body.instance.pid);
      if (start < 2) await daemon.stop(id);
    }
    const starts = await startsOf(daemon, id);
    expect(starts.map(({ ended_at }) => ended_at === null)).toEqual([false, false, true]);
    expect(starts.map(({ first }) => first)).toEqual(
      [0, starts[0]?.last ?? -9, starts[1]?.last ?? -9].map((last, n) => (n === 0 ? 0 : last + 1)),
    );
    for (const { first, last, started_at, ended_at } of starts.slice(0, 2)) {
      const lines = await daemon.logs(id, `?after=${first - 1}&limit=${last - first + 1}`);
      expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: last - first + 1 }, (_, n) => first + n));
      expect(lines.at(-1)?.timestamp).toBe(ended_at as string);
      expect(Date.parse(started_at)).toBeLessThanOrEqual(Date.parse(lines[0]?.timestamp ?? ""));
    }
    await daemon.kill();
    await using next = await daemon.again();
    expect(await startsOf(next, id)).toMatchObject(starts.map(({ first, started_at }) => ({ first, started_at })));
    expect((await next.request("GET", "/instances/none/logs/starts")).status).toBe(404);
  });
});
