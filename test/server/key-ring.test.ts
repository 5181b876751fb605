import { expect, test } from "bun:test";
import { KeyRing } from "../../src/server/key-ring.ts";
import type { StoredKey } from "../../src/store/key-file.ts";

/** A file on a disk that fails as the test says. */
const ringOn = (fails: boolean[]) => {
  let stored: string[] = [];
  const save = async (keys: readonly StoredKey[]): Promise<void> => {
    await Bun.sleep(0);
    if (fails.shift() === true) throw new Error("no space is left");
    stored = keys.map(({ name }) => name);
  };
  return { ring: new KeyRing({ load: () => [], save }, () => undefined), stored: () => stored };
};

test("a change that cannot be stored takes no other one back: neither a key made beside it nor a revocation", async () => {
  const { ring, stored } = ringOn([false, true, false, false]);
  const { id } = await ring.create({ name: "revoked", scopes: ["read"] });
  const outcomes = await Promise.allSettled([
    ring.create({ name: "refused", scopes: ["read"] }),
    ring.revoke(id),
    ring.create({ name: "made", scopes: ["read"] }),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect([ring.list().map(({ name }) => name), stored()]).toEqual([["made"], ["made"]]);
});
