import { expect, test } from "bun:test";
import { totalmem } from "node:os";
import { parseMeminfo, parseVmStat, readRam, withLimits } from "../../src/system/ram.ts";

const meminfo = `MemTotal:       127600748 kB
MemFree:         7976902 kB
MemAvailable:   118566368 kB
Buffers:          204800 kB
SwapTotal:       8388604 kB
`;

const vmStat = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            900000.
Pages inactive:                          500000.
Pages speculative:                        20000.
Pages throttled:                              0.
Pages wired down:                        300000.
Pages purgeable:                          11111.
"Translation faults":                4000000000.
Pages occupied by compressor:            250000.
`;

test("Linux: what is not available is used, caches are not", () => {
  expect(parseMeminfo(meminfo)).toEqual({ used: (127600748 - 118566368) * 1024, total: 127600748 * 1024 });
});

test("Linux: a kernel that does not estimate what is available tells at least what is free", () => {
  const old = meminfo.replace(/^MemAvailable.*\n/m, "");
  expect(parseMeminfo(old)).toEqual({ used: (127600748 - 7976902) * 1024, total: 127600748 * 1024 });
});

test("Linux: the smallest limit of a control group is all there is, and the fullest group says what is left of it", () => {
  const ram = { used: 20, total: 100 };
  expect(withLimits(ram, [])).toEqual(ram);
  expect(withLimits(ram, [{ limit: 50, used: 10 }])).toEqual({ used: 10, total: 50 });
  // The outer group is fuller than the inner one, which has the smaller limit.
  expect(
    withLimits(ram, [
      { limit: 50, used: 10 },
      { limit: 70, used: 65 },
    ]),
  ).toEqual({ used: 45, total: 50 });
  // The machine has less left than the group allows.
  expect(withLimits({ used: 90, total: 100 }, [{ limit: 50, used: 10 }])).toEqual({ used: 40, total: 50 });
  expect(withLimits(ram, [{ limit: 50, used: 60 }])).toEqual({ used: 50, total: 50 });
});

test("Linux: a limit that is no smaller than the machine is none, as version 1 writes it where there is none", () => {
  const ram = { used: 20, total: 100 };
  expect(
    withLimits(ram, [
      { limit: 100, used: 90 },
      { limit: 2 ** 63 - 4096, used: 90 },
    ]),
  ).toEqual(ram);
});

test("macOS: free, inactive and speculative pages are not used", () => {
  const total = 32 * 2 ** 30;
  expect(parseVmStat(vmStat, total)).toEqual({ used: total - 530_000 * 16_384, total });
});

test("a text that tells nothing is an error, never a zero", () => {
  expect(() => parseMeminfo("")).toThrow("/proc/meminfo");
  expect(() => parseVmStat("", 1)).toThrow("vm_stat");
  expect(() => parseVmStat(vmStat.replace("Pages inactive", "Pages idle"), 1)).toThrow("vm_stat");
});

test("this machine's memory is read", async () => {
  const ram = await readRam();
  // A control group may leave less than there is.
  expect(ram.total).toBeLessThanOrEqual(totalmem());
  expect(ram.total).toBeGreaterThan(0);
  expect(ram.used).toBeGreaterThan(0);
  expect(ram.used).toBeLessThan(ram.total);
});
