import { afterEach, describe, expect, test } from "bun:test";
import { isPortFree, PortBusyError, PortRegistry } from "../../src/process/ports.ts";

const servers: { stop(): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
});

const listenOn = (hostname: string, port = 0): number => {
  const server = Bun.listen({ hostname, port, socket: { data: () => undefined } });
  servers.push({ stop: () => server.stop(true) });
  return server.port;
};

const allFree = async (): Promise<boolean> => true;

describe("a port", () => {
  test("is not free where somebody listens on it, on whatever address", async () => {
    for (const hostname of ["127.0.0.1", "0.0.0.0", "::", "::1"]) {
      const port = listenOn(hostname);
      expect([hostname, await isPortFree(port)]).toEqual([hostname, false]);
    }
  });

  test("is not free where somebody shares it by SO_REUSEPORT", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: true, fetch: () => new Response() });
    servers.push({ stop: () => server.stop(true) });
    expect(await isPortFree(server.port ?? 0)).toBe(false);
  });

  test("is free again when they have gone, and stays so after the probe", async () => {
    const port = listenOn("127.0.0.1");
    servers.splice(0).forEach((server) => void server.stop());
    expect([await isPortFree(port), await isPortFree(port)]).toEqual([true, true]);
    expect(listenOn("0.0.0.0", port)).toBe(port);
  });
});

describe("the owner of ports", () => {
  test("gives the first that is free, and none twice, however many ask at once", async () => {
    const ports = new PortRegistry(40_000);
    const slow = async (port: number): Promise<boolean> => {
      await Bun.sleep(1);
      return port % 2 === 0;
    };
    const given = await Promise.all(Array.from({ length: 20 }, (_, n) => ports.reserve(`instance ${n}`, null, slow)));
    expect(new Set(given).size).toBe(20);
    expect(given.every((port) => port % 2 === 0)).toBe(true);
    expect(Math.max(...given)).toBe(40_038);
  });

  test("gives one back to others only when its owner does", async () => {
    const ports = new PortRegistry(40_000);
    expect(await ports.reserve("a", null, allFree)).toBe(40_000);
    ports.release(40_000, "somebody else");
    expect(await ports.reserve("b", null, allFree)).toBe(40_001);
    ports.release(40_000, "a");
    expect(await ports.reserve("c", null, allFree)).toBe(40_000);
  });

  test("gives the port that was asked for, or says that it is taken, and gives no other", async () => {
    const ports = new PortRegistry(40_000);
    expect(await ports.reserve("a", 50_000, allFree)).toBe(50_000);
    await expect(ports.reserve("b", 50_000, allFree)).rejects.toThrow(PortBusyError);
    await expect(ports.reserve("b", 50_001, async () => false)).rejects.toThrow(
      "address in use: port 50001 is taken by another program",
    );
    // What could not be had is not kept.
    expect(await ports.reserve("b", 50_001, allFree)).toBe(50_001);
  });

  test("does not hand out what a server that was taken over listens on", async () => {
    const ports = new PortRegistry(40_000);
    ports.adopt(40_000, "adopted");
    expect(await ports.reserve("a", null, allFree)).toBe(40_001);
    ports.release(40_000, "adopted");
    expect(await ports.reserve("b", null, allFree)).toBe(40_000);
  });

  test("says so when there is none left", async () => {
    const ports = new PortRegistry(65_534);
    await ports.reserve("a", null, allFree);
    await ports.reserve("b", null, allFree);
    await expect(ports.reserve("c", null, allFree)).rejects.toThrow("no port from 65534 up is free");
  });
});
