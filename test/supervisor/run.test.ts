import { expect, test } from "bun:test";
import type { Host } from "../../src/supervisor/host.ts";
import { Run, type RunOwner } from "../../src/supervisor/run.ts";

/** A run whose parts do what nothing of them should. */

test.each([false, true])(
  "a fault that was not foreseen ends a run, told and with a status at rest (stopping: %p)",
  async (isStopping) => {
    const told: unknown[] = [];
    const changes: unknown[] = [];
    const host = {
      gate: { enter: () => Promise.reject(new Error("no such gate")) },
      journal: { error: (message: string) => told.push(message), warn: () => undefined },
      launches: { remove: () => undefined },
      stopTimeout: 1,
    } as unknown as Host;
    const owner = {
      id: "one",
      config: { backend_type: "llamacpp", port: null },
      isStopping,
      log: { finish: async () => undefined },
      tracker: { end: () => undefined },
      change: (transition: unknown, _: string, observed: { error_message?: string }) =>
        changes.push([transition, observed.error_message]),
    } as unknown as RunOwner;
    const run = new Run(host, owner, null);
    await run.done;
    expect(told).toEqual(["unexpected error: no such gate"]);
    expect(changes).toEqual([[isStopping ? "ended" : "fail", "unexpected error: no such gate"]]);
    expect(run.finished).toBe(true);
  },
);
