import { refusal } from "../common/system-error.ts";
import { bindError, bindProblem } from "./bind-error.ts";

/** The one owner of ports: none is handed to two instances, and none that another program listens on. */

/** The port that a config names cannot be had, and another attempt would not help. */
export class PortError extends Error {}

type Holder = "another program" | "another instance" | "this daemon itself: it is the PORT of its own API";

const takenBy = (port: number, holder: Holder): PortError =>
  new PortError(`address in use: port ${port} is taken by ${holder}`);

const ANY_IPV6 = "::";
const ANY_IPV4 = "0.0.0.0";

/** Codes that are about the port; others (no descriptor left, say) would come for any port. */
const isOfPort = (code: string): boolean => ["EADDRINUSE", "EACCES", "EPERM"].includes(code);

const errorOf = (port: number, code: string): Error => {
  if (code === "EADDRINUSE") return takenBy(port, "another program");
  const changeable = { port: "the port of the config", host: "its host" };
  const message = `cannot listen on port ${port}: ${bindProblem(code, ANY_IPV4, port, changeable)}`;
  return isOfPort(code) ? new PortError(message) : refusal(message, code);
};

/** Why no server could listen on the port now, on every address of the machine, by the system's code; or null. */
export const portProblem = async (port: number): Promise<string | null> => {
  const both = await bindError(ANY_IPV6, port);
  const withoutIpv6 = both === "EAFNOSUPPORT" || both === "EADDRNOTAVAIL";
  return withoutIpv6 ? await bindError(ANY_IPV4, port) : both;
};

export class PortRegistry {
  private readonly reserved = new Map<number, string>();
  /** Ports that configs name, by owner: in use or not, no other instance is given one by chance. */
  private readonly named = new Map<string, number>();
  /** Of the daemon's own API. */
  private own: number | null = null;

  constructor(private readonly firstPort: number) {}

  /**
   * Reserves `wanted`, or the next free port that no config names. It stays the owner's until {@link release}.
   * @throws PortError where `wanted` cannot be had; another error where no port can be told to be free
   */
  async reserve(
    owner: string,
    wanted: number | null,
    probe: (port: number) => Promise<string | null> = portProblem,
  ): Promise<number> {
    if (wanted !== null) {
      if (wanted === this.own) throw takenBy(wanted, "this daemon itself: it is the PORT of its own API");
      if (!this.claim(wanted, owner)) throw takenBy(wanted, "another instance");
      const problem = await probe(wanted);
      if (problem === null) return wanted;
      this.release(wanted, owner);
      throw errorOf(wanted, problem);
    }
    const named = new Set([...this.named].flatMap(([other, port]) => (other === owner ? [] : [port])));
    for (let port = this.firstPort; port <= 65_535; port++) {
      if (named.has(port) || port === this.own) continue;
      // Claimed before it is probed: two starts at once never probe the same port.
      if (!this.claim(port, owner)) continue;
      const problem = await probe(port);
      if (problem === null) return port;
      this.release(port, owner);
      if (!isOfPort(problem)) throw errorOf(port, problem);
    }
    throw new Error(`no port from ${this.firstPort} up is free`);
  }

  /** Keeps `port` for an owner whose config names it; null for one whose config does not any more. */
  keepFor(owner: string, port: number | null): void {
    if (port === null) this.named.delete(owner);
    else this.named.set(owner, port);
  }

  /** The port that the daemon itself listens on. */
  keepOwn(port: number): void {
    this.own = port;
  }

  /** Takes a port without probing: for a server that already listens on it. */
  adopt(port: number, owner: string): void {
    this.reserved.set(port, owner);
  }

  release(port: number, owner: string): void {
    if (this.reserved.get(port) === owner) this.reserved.delete(port);
  }

  private claim(port: number, owner: string): boolean {
    const holder = this.reserved.get(port);
    if (holder !== undefined && holder !== owner) return false;
    this.reserved.set(port, owner);
    return true;
  }
}
