import { createServer } from "node:net";

/** The one owner of ports: none is handed to two instances, and none that somebody else listens on. */

export class PortBusyError extends Error {
  constructor(
    readonly port: number,
    holder: "another program" | "another instance",
  ) {
    super(`address in use: port ${port} is taken by ${holder}`);
  }
}

const listenOn = (port: number, host: string): Promise<string | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)));
  });

/** Whether a server could listen on the port now, on every address of the machine. */
export const isPortFree = async (port: number): Promise<boolean> => {
  const both = await listenOn(port, "::");
  if (both === null) return true;
  if (both !== "EAFNOSUPPORT" && both !== "EADDRNOTAVAIL") return false;
  return (await listenOn(port, "0.0.0.0")) === null;
};

export class PortRegistry {
  private readonly reserved = new Map<number, string>();
  /** Ports that configs name, by owner: whether or not they are in use now, nobody else is given one by chance. */
  private readonly named = new Map<string, number>();

  constructor(private readonly firstPort: number) {}

  /**
   * Reserves `wanted`, or the next free port that no config names. It stays the owner's until {@link release}.
   * @throws PortBusyError where `wanted` is taken, or no port is left
   */
  async reserve(
    owner: string,
    wanted: number | null,
    isFree: (port: number) => Promise<boolean> = isPortFree,
  ): Promise<number> {
    if (wanted !== null) {
      if (!this.claim(wanted, owner)) throw new PortBusyError(wanted, "another instance");
      if (await isFree(wanted)) return wanted;
      this.release(wanted, owner);
      throw new PortBusyError(wanted, "another program");
    }
    const named = new Set([...this.named].flatMap(([other, port]) => (other === owner ? [] : [port])));
    for (let port = this.firstPort; port <= 65_535; port++) {
      if (named.has(port)) continue;
      // Claimed before it is probed: two starts at once never probe the same port.
      if (!this.claim(port, owner)) continue;
      if (await isFree(port)) return port;
      this.release(port, owner);
    }
    throw new Error(`no port from ${this.firstPort} up is free`);
  }

  /** Keeps `port` for an owner whose config names it; null for one whose config does not any more. */
  keepFor(owner: string, port: number | null): void {
    if (port === null) this.named.delete(owner);
    else this.named.set(owner, port);
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
