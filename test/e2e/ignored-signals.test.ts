import { expect, setDefaultTimeout, test } from "bun:test";
import { ignoredIn } from "../../src/server/ignored-signals.ts";
import { TestDaemon } from "../support/daemon.ts";

setDefaultTimeout(60_000);

test("a mask of ignored signals is read bit by bit, and what is no mask ignores nothing", () => {
  expect([...ignoredIn("0000000000004003")]).toEqual(["SIGHUP", "SIGINT", "SIGTERM"]);
  expect([...ignoredIn("1")]).toEqual(["SIGHUP"]);
  expect([...ignoredIn("1004")]).toEqual([]);
  for (const none of ["", "0", "-", "no mask"]) expect([...ignoredIn(none)]).toEqual([]);
});

const cases: [string, string[], NodeJS.Signals[]][] = [
  ["nohup", ["nohup"], ["SIGHUP"]],
  ["trap '' HUP", ["sh", "-c", `trap '' HUP; exec "$@"`, "sh"], ["SIGHUP"]],
  ["trap '' INT HUP", ["sh", "-c", `trap '' INT HUP; exec "$@"`, "sh"], ["SIGINT", "SIGHUP"]],
];
for (const [name, under, signals] of cases) {
  test(`under ${name} the daemon goes on after ${signals.join(" and ")}, and ends with another signal`, async () => {
    await using daemon = await TestDaemon.start({ under });
    for (const signal of signals) daemon.process.kill(signal);
    expect((await daemon.request("GET", "/instances")).status).toBe(200);
    expect(await daemon.end()).toBe(0);
    // A signal that was heard would have come first.
    expect(daemon.stderr).toContain("SIGTERM: stopping");
    for (const signal of signals) expect(daemon.stderr).not.toContain(signal);
  });
}
