import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { codeMappings, releaseBootCode } from "../../src/process/trim.ts";

const maps = `00200000-0031a000 r--p 00000000 fd:00 1 /opt/solar-host
0031a000-05000000 r-xp 0011a000 fd:00 1 /opt/solar-host
05000000-05200000 rw-p 04e00000 fd:00 1 /opt/solar-host
7f0000000000-7f0000100000 r-xp 00000000 fd:00 2 /usr/lib/libc.so.6
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
`;

test("only the program's own code is picked, nothing that was or may be written", () => {
  expect(codeMappings(maps, "/opt/solar-host")).toEqual([{ start: 0x31a000n, length: 0x5000000n - 0x31a000n }]);
});

test.if(process.platform === "linux")("code that is let go of leaves the resident memory, and runs on", () => {
  const resident = (): number => Number(/RssFile:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  const before = resident();
  releaseBootCode();
  expect(resident()).toBeLessThan(before);
  expect(JSON.parse(JSON.stringify({ still: "well" }))).toEqual({ still: "well" });
});
