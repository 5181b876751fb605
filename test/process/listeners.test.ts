import { afterEach, expect, test } from "bun:test";
import { listenersOn } from "../../src/process/listeners.ts";
import { endProcessesAfterEach, firstLineNumbers, startShell } from "./processes.ts";

endProcessesAfterEach();

const nobody = { ours: false, foreign: false, unknown: false };
const ours = { ...nobody, ours: true };
const foreign = { ...nobody, foreign: true };

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

function listenHere(hostname: string, port = 0, reusePort = false): number {
  const server = Bun.serve({ hostname, port, reusePort, fetch: () => new Response("here") });
  servers.push(server);
  if (server.port === undefined) throw new Error("no port");
  return server.port;
}

/** A server in a process of its own; its pid and port. */
async function listenThere(hostname: string, port = 0, reusePort = false): Promise<[pid: number, port: number]> {
  const code = `const s = Bun.serve({ hostname: "${hostname}", port: ${port}, reusePort: ${reusePort},
    fetch: () => new Response("there") }); console.log(s.port);`;
  const child = startShell(`exec '${process.execPath}' -e '${code}'`);
  const [there = 0] = await firstLineNumbers(child);
  return [child.pid, there];
}

test("a port without a listener belongs to no process", async () => {
  const port = listenHere("127.0.0.1");
  await servers.pop()?.stop(true);
  expect(await listenersOn(port, "127.0.0.1", [process.pid])).toEqual(nobody);
});

test("a listener of one of the processes is ours, and to all others foreign", async () => {
  const [pid, port] = await listenThere("127.0.0.1");
  expect(await listenersOn(port, "127.0.0.1", [pid])).toEqual(ours);
  expect(await listenersOn(port, "127.0.0.1", [2 ** 22 + 1, pid])).toEqual(ours);
  expect(await listenersOn(port, "127.0.0.1", [process.pid])).toEqual(foreign);
  expect(await listenersOn(port, "127.0.0.1", [])).toEqual(foreign);
});

test("a port that two share by SO_REUSEPORT is both ours and foreign", async () => {
  const port = listenHere("127.0.0.1", 0, true);
  const [pid] = await listenThere("127.0.0.1", port, true);
  expect(await listenersOn(port, "127.0.0.1", [pid])).toEqual({ ...nobody, ours: true, foreign: true });
  expect(await listenersOn(port, "127.0.0.1", [pid, process.pid])).toEqual(ours);
});

test("a listener on any address answers at each of them", async () => {
  const port = listenHere("0.0.0.0");
  for (const host of ["0.0.0.0", "127.0.0.1", "127.0.0.2", "localhost"]) {
    expect(await listenersOn(port, host, [process.pid])).toEqual(ours);
    expect(await listenersOn(port, host, [1])).toEqual(foreign);
  }
});

test("a listener on another address of the same port is none of ours to mind", async () => {
  const port = listenHere("127.0.0.1");
  const [pid] = await listenThere("127.0.0.2", port);
  expect(await listenersOn(port, "127.0.0.2", [pid])).toEqual(ours);
  expect(await listenersOn(port, "127.0.0.1", [pid])).toEqual(foreign);
  // A server for every address has to share it with both.
  expect(await listenersOn(port, "0.0.0.0", [pid])).toEqual({ ...nobody, ours: true, foreign: true });
});

test("an IPv6 listener on any address answers IPv4 too", async () => {
  const port = listenHere("::");
  expect(await listenersOn(port, "127.0.0.1", [process.pid])).toEqual(ours);
  expect(await listenersOn(port, "::1", [process.pid])).toEqual(ours);
  expect(await listenersOn(port, "::", [1])).toEqual(foreign);
});

test("looking does not hold the event loop", async () => {
  const port = listenHere("127.0.0.1");
  let turns = 0;
  const ticker = setInterval(() => turns++, 1);
  for (let n = 0; n < 10; n++) await listenersOn(port, "127.0.0.1", [process.pid]);
  clearInterval(ticker);
  expect(turns).toBeGreaterThan(0);
});
