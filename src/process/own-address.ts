import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";

/** Whether a server on this machine could listen at a host, by its name or address. */
export const isOwnAddress = async (host: string): Promise<boolean> => {
  if (host === "" || host === "::" || host === "0.0.0.0" || host === "localhost") return true;
  const own = new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)));
  try {
    const found = await lookup(host, { all: true });
    return found.some(({ address }) => address.startsWith("127.") || own.has(address));
  } catch {
    return false;
  }
};
