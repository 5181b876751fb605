import { expect, test } from "bun:test";
import type { AttemptContext } from "../../src/supervisor/attempt.ts";
import { Run } from "../../src/supervisor/run.ts";

/** A run whose parts do what nothing of them should. */

test.each([false, true])(
  "a fault that was not foreseen ends a run, told and with a status at rest (stopping: %p)",
  async (isStopping) => {
    const told: unknown[] = [];
    const changes: unknown[] = [];
    const context = {
      host: {
        gate: { enter: () => Promise.reject(new Error("no such gate")) },
        journal: { error: (message: string) => told.push(message), warn: () => undefined },
        launches: { remove: () => undefined },
        stopTimeout: 1,
      },
      config: { backend_type: "llamacpp", port: null },
      state: {
        id: "one",
        current: isStopping ? "stopping" : "starting",
        change: (transition: unknown, _: string, observed: { error_message?: string }) =>
          changes.push([transition, observed.error_message]),
      },
      log: { finish: async () => undefined },
      tracker: { end: () => undefined },
    } as unknown as AttemptContext;
    const run = new Run(context, { saved: async () => undefined });
    await run.done;
    expect(told).toEqual(["unexpected error: no such gate"]);
    expect(changes).toEqual([[isStopping ? "ended" : "fail", "unexpected error: no such gate"]]);
    expect(run.isFinished).toBe(true);
  },
);
