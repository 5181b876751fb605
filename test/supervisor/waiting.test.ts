import { describe, expect, test } from "bun:test";
import { isLate } from "../../src/supervisor/waiting.ts";

describe("patience", () => {
  test("ends before what takes longer, and not before what is there", async () => {
    const never = new Promise<void>(() => undefined);
    expect(await isLate(never, 1)).toBe(true);
    expect(await isLate(Promise.resolve(), 60_000)).toBe(false);
  });

  test("passes on what went wrong meanwhile, and ignores what does so afterwards", async () => {
    expect(isLate(Promise.reject(new Error("at once")), 60_000)).rejects.toThrow("at once");
    const later = Promise.withResolvers<void>();
    expect(await isLate(later.promise, 1)).toBe(true);
    later.reject(new Error("nobody waits any more"));
    await Bun.sleep(0);
  });
});
