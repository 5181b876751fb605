import { readFileSync } from "node:fs";

/**
 * Which signals were ignored when the program began, as `nohup` and a shell's `trap ''` have it: they are to stay
 * ignored, and a handler would end that. Node.js tells of none, so that the system is asked.
 */

const bits = { SIGHUP: 1n, SIGINT: 2n, SIGTERM: 15n } as const;
export type EndSignal = keyof typeof bits;

/** @param mask hexadecimal, bit 0 for signal 1 */
export const ignoredIn = (mask: string): ReadonlySet<EndSignal> => {
  const value = /^[0-9a-f]+$/i.test(mask) ? BigInt(`0x${mask}`) : 0n;
  return new Set((Object.keys(bits) as EndSignal[]).filter((name) => (value & (1n << (bits[name] - 1n))) !== 0n));
};

const maskOnLinux = (): string => /^SigIgn:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";

/** macOS has no /proc; its ps shows the mask as the keyword `sigignore`, with or without 0x. */
const maskOfPs = (): string =>
  Bun.spawnSync(["ps", "-o", "sigignore=", "-p", String(process.pid)], { stderr: "ignore" })
    .stdout.toString()
    .trim()
    .replace(/^0x/, "");

/** To be asked before any handler is set. */
export const signalsIgnoredAtStart = (): ReadonlySet<EndSignal> => {
  try {
    return ignoredIn(process.platform === "linux" ? maskOnLinux() : maskOfPs());
  } catch {
    // A system that does not tell: each signal is heard, as is usual.
    return new Set();
  }
};
