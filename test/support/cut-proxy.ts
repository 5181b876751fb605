import { connect, createServer, type Server, type Socket } from "node:net";

/** A stretch of network between client and daemon that breaks when a test says so. */

export class CutProxy {
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  /** How many WebSockets were asked for. */
  upgrades = 0;
  connections = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async to(port: number): Promise<CutProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy has no port");
    const proxy = new CutProxy(server, `http://127.0.0.1:${address.port}`);
    server.on("connection", (client) => proxy.join(client, port));
    return proxy;
  }

  /** Ends all connections at once, as a router does that is switched off and on. */
  cut(): void {
    for (const [client, upstream] of this.pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** From now on nothing passes on the connections that there are, and neither side is told: a sleep, a lost route. */
  silence(): void {
    for (const [client, upstream] of this.pairs) {
      client.unpipe();
      upstream.unpipe();
      // What still comes is lost, as it is on a cable that was pulled out.
      client.resume();
      upstream.resume();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket, port: number): void {
    this.connections += 1;
    const upstream = connect(port, "127.0.0.1");
    const pair = [client, upstream] as const;
    this.pairs.add(pair);
    const end = (): void => {
      this.pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    client.on("data", (bytes) => {
      if (/^upgrade: websocket/im.test(bytes.toString("latin1"))) this.upgrades += 1;
    });
    client.pipe(upstream);
    upstream.pipe(client);
  }
}
