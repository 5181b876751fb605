import { describe, expect, test } from "bun:test";
import { isLate, Watchers } from "../../src/supervisor/waiting.ts";

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

describe("watchers", () => {
  test("are done when they are told and it is there, or when they have waited long enough", async () => {
    const watchers = new Watchers();
    let value = 0;
    const waiting = watchers.until(() => value === 2, 60_000);
    for (value = 1; value <= 2; value++) watchers.tell();
    value = 2;
    watchers.tell();
    await waiting;
    await watchers.until(() => false, 1);
  });

  test("end with what looking throws, and look no more after that", async () => {
    const watchers = new Watchers();
    let looked = 0;
    const waiting = watchers.until(() => {
      looked += 1;
      if (looked === 2) throw new Error("failed");
      return false;
    }, 60_000);
    watchers.tell();
    expect(waiting).rejects.toThrow("failed");
    watchers.tell();
    expect(looked).toBe(2);
  });
});
