import { describe, expect, test } from "bun:test";
import { answering, type Listener, normalAddress, parseLsof, parseProcNet } from "../../src/process/sockets.ts";

const head =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     ";
const tcp = `${head}
   0: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 28912 1 0000000000000000 100 0 0 10 0                     
   1: 0100007F:0DAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 0000000000000000 100 0 0 10 0                     
   2: 0100007F:0DAC 0100007F:C350 01 00000000:00000000 02:000009B4 00000000     0        0 31400 2 0000000000000000 20 4 30 10 -1                    
`;
const tcp6 = `${head}
   0: 00000000000000000000000000000000:0DAC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:0DAC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:0DAC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 43 1 0 100 0 0 10 0
   3: B80D0120000000000000000001000000:0DAC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 44 1 0 100 0 0 10 0
`;

describe("/proc/net", () => {
  test("only listening sockets of the wanted port are taken", () => {
    expect(parseProcNet(tcp, 3500)).toEqual([{ address: "127.0.0.1", port: 3500, holder: "31337" }]);
    expect(parseProcNet(tcp, 8001)).toEqual([{ address: "0.0.0.0", port: 8001, holder: "28912" }]);
    expect(parseProcNet(tcp, 1)).toEqual([]);
    expect(parseProcNet("", 3500)).toEqual([]);
  });

  test("IPv6 addresses are read word by word", () => {
    const addresses = parseProcNet(tcp6, 3500).map((listener) => listener.address);
    expect(addresses).toEqual(["::", "::1", "127.0.0.1", "2001:db8::1"]);
  });
});

test("lsof's fields give pid and address, of either family", () => {
  const text =
    "p501\nf7\ntIPv4\nn127.0.0.1:3500\np502\nf8\ntIPv4\nn*:3500\nf9\ntIPv6\nn*:3500\nf10\ntIPv6\nn[::1]:3500\n";
  expect(parseLsof(text, 3500)).toEqual([
    { address: "127.0.0.1", port: 3500, holder: "501" },
    { address: "0.0.0.0", port: 3500, holder: "502" },
    { address: "::", port: 3500, holder: "502" },
    { address: "::1", port: 3500, holder: "502" },
  ]);
  expect(parseLsof("", 3500)).toEqual([]);
});

test.each([
  ["[::1]", "::1"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["::FFFF:127.0.0.1", "127.0.0.1"],
  ["fe80::1%eth0", "fe80::1"],
  ["127.0.0.1", "127.0.0.1"],
  ["LocalHost", "localhost"],
])("%s is written %s", (given, written) => {
  expect(normalAddress(given)).toBe(written);
});

describe("who answers", () => {
  const at = (...addresses: string[]): Listener[] =>
    addresses.map((address) => ({ address, port: 3500, holder: address }));
  const who = (host: string, ...addresses: string[]) =>
    answering(at(...addresses), host).map((listener) => listener.address);

  test("the socket on that very address comes before any that takes all", () => {
    expect(who("127.0.0.1", "0.0.0.0", "127.0.0.1", "::")).toEqual(["127.0.0.1"]);
    expect(who("::1", "::", "::1")).toEqual(["::1"]);
  });

  test("for IPv4, a socket on 0.0.0.0 comes before one on ::", () => {
    expect(who("127.0.0.1", "::", "0.0.0.0")).toEqual(["0.0.0.0"]);
    expect(who("127.0.0.1", "::")).toEqual(["::"]);
    expect(who("0.0.0.0", "::", "0.0.0.0")).toEqual(["0.0.0.0"]);
  });

  test("IPv4 sockets never answer an IPv6 address", () => {
    expect(who("::1", "0.0.0.0", "127.0.0.1")).toEqual([]);
  });

  test("a server for every address shares the port with each socket that takes one", () => {
    expect(who("0.0.0.0", "127.0.0.1", "10.0.0.5", "0.0.0.0", "::1")).toEqual(["127.0.0.1", "10.0.0.5", "0.0.0.0"]);
    expect(who("::", "127.0.0.1", "::", "::1")).toEqual(["127.0.0.1", "::", "::1"]);
  });

  test("localhost is either loopback address, and a name may be any", () => {
    expect(who("localhost", "127.0.0.1", "::1", "10.0.0.5")).toEqual(["127.0.0.1", "::1"]);
    expect(who("gpu-box", "127.0.0.1", "10.0.0.5")).toEqual(["127.0.0.1", "10.0.0.5"]);
  });
});
