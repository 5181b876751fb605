import type { KeyRing } from "../../src/server/key-ring.ts";

/** A daemon that has no further keys. */
export const noKeys = {
  list: () => [],
  create: () => Promise.reject(new Error("not asked")),
  revoke: () => Promise.resolve(false),
  principalOf: () => null,
  subscribe: () => undefined,
  endExpired: () => undefined,
} as unknown as KeyRing;
