import { createHash, timingSafeEqual } from "node:crypto";

/** Who asks, and what it may do. */

/**
 * `admin` may do everything. `read` is every GET and WebSocket, without the keys of the instances. `infer` is the use of
 * the models.
 */
export const scopes = ["admin", "read", "infer"] as const;
export type Scope = (typeof scopes)[number];

export interface Principal {
  /** As the daemon's log names it. */
  name: string;
  scopes: readonly Scope[];
}

export const may = (principal: Principal, wanted: Scope): boolean =>
  principal.scopes.includes(wanted) || principal.scopes.includes("admin");

/** Asks for an open path, with or without a key. */
export const anyone: Principal = { name: "anyone", scopes: [] };

const owner: Principal = { name: "owner", scopes };
const thisMachine: Principal = { name: "this machine", scopes };

/** The principal of a key; null where no key is offered, or one that the daemon does not know. */
export type KeyLookup = (offered: string | null) => Principal | null;

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/**
 * Where keys are looked up. A key is compared in constant time, by digest, so that not even its length shows.
 * @param ownerKey API_KEY; empty: no authentication, on loopback only
 */
export const keyLookup = (ownerKey: string): KeyLookup => {
  if (ownerKey === "") return () => thisMachine;
  const expected = digest(ownerKey);
  return (offered) => (offered !== null && timingSafeEqual(digest(offered), expected) ? owner : null);
};
