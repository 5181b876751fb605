import { afterEach, describe, expect, test } from "bun:test";
import { PortError, PortRegistry, portProblem } from "../../src/process/port-registry.ts";

const servers: { stop(): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
});

const listenOn = (hostname: string, port = 0): number => {
  const server = Bun.listen({ hostname, port, socket: { data: () => undefined } });
  servers.push({ stop: () => server.stop(true) });
  return server.port;
};

const allFree = async (): Promise<null> => null;
const answers = (code: string) => async (): Promise<string> => code;

describe("a port", () => {
  test("is not free where a program listens on it, on any address", async () => {
    for (const hostname of ["127.0.0.1", "0.0.0.0", "::", "::1"]) {
      const port = listenOn(hostname);
      expect([hostname, await portProblem(port)]).toEqual([hostname, "EADDRINUSE"]);
    }
  });

  test("is not free where a program shares it by SO_REUSEPORT", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: true, fetch: () => new Response() });
    servers.push({ stop: () => server.stop(true) });
    expect(await portProblem(server.port ?? 0)).toBe("EADDRINUSE");
  });

  test("is free again when they have gone, and stays so after the probe", async () => {
    const port = listenOn("127.0.0.1");
    servers.splice(0).forEach((server) => void server.stop());
    expect([await portProblem(port), await portProblem(port)]).toEqual([null, null]);
    expect(listenOn("0.0.0.0", port)).toBe(port);
  });
});

describe("the owner of ports", () => {
  test("gives the first that is free, and none twice, however many ask at once", async () => {
    const ports = new PortRegistry(40_000);
    const slow = async (port: number): Promise<string | null> => {
      await Bun.sleep(1);
      return port % 2 === 0 ? null : "EADDRINUSE";
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
    await expect(ports.reserve("b", 50_000, allFree)).rejects.toThrow(PortError);
    await expect(ports.reserve("b", 50_001, answers("EADDRINUSE"))).rejects.toThrow(
      "address in use: port 50001 is taken by another program",
    );
    // What could not be had is not kept.
    expect(await ports.reserve("b", 50_001, allFree)).toBe(50_001);
  });

  test("says of the port that the daemon listens on whose it is, and gives it to no instance", async () => {
    const ports = new PortRegistry(40_000);
    ports.keepOwn(40_000);
    const refused = ports.reserve("a", 40_000, allFree);
    await expect(refused).rejects.toThrow(PortError);
    await expect(refused).rejects.toThrow(
      "address in use: port 40000 is taken by this daemon itself: it is the PORT of its own API",
    );
    expect(await ports.reserve("a", null, allFree)).toBe(40_001);
  });

  test("says of a port that may not be listened on why, and gives the next one where none is named", async () => {
    const ports = new PortRegistry(1023);
    const denied = ports.reserve("a", 80, answers("EACCES"));
    await expect(denied).rejects.toThrow(PortError);
    await expect(denied).rejects.toThrow(
      "cannot listen on port 80: not permitted: ports below 1024 are for root. Change the port of the config, or",
    );
    expect(await ports.reserve("a", null, async (port) => (port < 1024 ? "EACCES" : null))).toBe(1024);
  });

  test("tries no further port where the system has nothing left to try one with, and keeps none", async () => {
    for (const code of ["EMFILE", "ENFILE", "ENOBUFS"]) {
      const ports = new PortRegistry(40_000);
      const tried: number[] = [];
      const lacking = async (port: number): Promise<string> => {
        tried.push(port);
        return code;
      };
      // Another attempt may find it: that is no fault of the config.
      for (const wanted of [null, 50_000]) {
        const error = await ports.reserve("a", wanted, lacking).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code, message: expect.not.stringContaining("another program") });
        expect(error).not.toBeInstanceOf(PortError);
      }
      expect(tried).toEqual([40_000, 50_000]);
      expect(await ports.reserve("b", 50_000, allFree)).toBe(50_000);
    }
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
