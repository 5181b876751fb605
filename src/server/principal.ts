import { createHash, timingSafeEqual } from "node:crypto";
import { type Scope, scopes } from "../contract/keys.ts";

/** Who asks, and what it may do. */

export interface Principal {
  /** Of its key, where it is one of the further keys. */
  keyId?: string;
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

export const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/**
 * Where keys are looked up. A key is compared in constant time, by digest, so that not even its length shows.
 * @param ownerKey API_KEY; empty: no authentication, on loopback only
 * @param further the principal of one of the other keys, by its digest
 */
export const keyLookup = (ownerKey: string, further: (digest: Buffer) => Principal | null = () => null): KeyLookup => {
  if (ownerKey === "") return () => thisMachine;
  const expected = digest(ownerKey);
  return (offered) => {
    if (offered === null) return null;
    const given = digest(offered);
    return timingSafeEqual(given, expected) ? owner : further(given);
  };
};
