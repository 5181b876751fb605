import { expect, test } from "bun:test";
import { CtlError } from "../../src/ctl/errors.ts";
import { reportError } from "../../src/ctl/io.ts";
import { fakeIo } from "./fake-io.ts";

const hostile = new CtlError(1, "it failed: \u001b[2J\u001b]0;owned\u0007\u001b[31mno room", ["last: \u001b[1Agone"]);

test("an error with sequences of elsewhere cannot take over a terminal", () => {
  const io = fakeIo({ terminal: true });
  expect(reportError(io, hostile)).toBe(1);
  expect(io.err).toBe("error: it failed: no room\n  last: gone\n");
});

test("and reaches a file as it is", () => {
  const io = fakeIo();
  reportError(io, hostile);
  expect(io.err).toContain("\u001b[2J");
});

test.each([
  [
    "Cannot save: ENOSPC: no space left on device, write",
    "Cannot save: no space is left on the disk that holds the file: make room there",
  ],
  [
    "Cannot read the log: EMFILE: too many open files, open '/a b/x.log'",
    "Cannot read the log: too many files are open",
  ],
  ["EACCES: permission denied", "this user has no permission for the file"],
  ["llama failed: ERROR: out of memory", "llama failed: ERROR: out of memory"],
])("%s is said in our words", (message, words) => {
  const io = fakeIo();
  reportError(io, new Error(message));
  expect(io.err).toContain(words);
  expect(io.err).not.toMatch(/ENOSPC|EMFILE|EACCES/);
});
