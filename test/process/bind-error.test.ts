import { describe, expect, test } from "bun:test";
import { bindError, bindProblem } from "../../src/process/bind-error.ts";

const problem = (code: string, host = "10.0.0.1", port = 8001): string =>
  bindProblem(code, host, port, { port: "PORT", host: "HOST" });

describe("why a program cannot listen", () => {
  const told: [code: string, words: string][] = [
    ["EADDRINUSE", "the address is already in use. Change PORT or HOST, or stop the other program."],
    ["EADDRNOTAVAIL", "this machine does not have that address. Change HOST;"],
    ["EAFNOSUPPORT", "this machine has no IPv4. Change HOST;"],
    ["EACCES", "not permitted to this user. Change PORT or HOST."],
    ["EPERM", "not permitted to this user."],
    [
      "EMFILE",
      "too many files are open: raise the limit of open files (ulimit -n, or LimitNOFILE= in the systemd unit).",
    ],
    ["ENFILE", "too many files are open on this machine: end what opens so many"],
    ["EINVAL", "no program can listen on such an address. Change HOST;"],
    ["ENOBUFS", "the system refuses it (ENOBUFS). Change PORT or HOST."],
  ];
  test.each(told)("%s is told in words, with what to do", (code, words) => {
    expect(problem(code)).toStartWith(words);
  });

  test("a port below 1024 is told to be root's, and IPv6 to be what is missing for its addresses", () => {
    expect(problem("EACCES", "0.0.0.0", 1023)).toContain("ports below 1024 are for root. Change PORT, or allow them:");
    expect(problem("EAFNOSUPPORT", "::1")).toStartWith("this machine has no IPv6.");
  });
});

test("the system's code is given as it is, and none where a program could listen", async () => {
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  try {
    expect(await bindError("127.0.0.1", other.port)).toBe("EADDRINUSE");
  } finally {
    other.stop(true);
  }
  expect(await bindError("127.0.0.1", 0)).toBeNull();
  expect(await bindError("192.0.2.1", 8001)).toBe("EADDRNOTAVAIL");
});
