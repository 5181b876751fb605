import { isIPv4, isIPv6 } from "node:net";

/** Listening TCP sockets, as text of the system tells them, and which of them answers at an address. Pure. */

export interface Listener {
  /** As in an address bar, without brackets: `127.0.0.1`, `::1`; `0.0.0.0` and `::` stand for any. */
  address: string;
  port: number;
  /** Linux: the socket's inode. macOS: the pid that holds it. */
  holder: string;
}

const LISTEN = "0A";

/** Listening sockets in /proc/net/tcp or /proc/net/tcp6, on one port. Source: proc_net(5). */
export const parseProcNet = (text: string, port: number): Listener[] => {
  const listeners: Listener[] = [];
  const portHex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const line of text.split("\n")) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    const [hex, localPort] = local?.split(":") ?? [];
    if (state !== LISTEN || localPort !== portHex || hex === undefined || inode === undefined) continue;
    listeners.push({ address: addressFromHex(hex), port, holder: inode });
  }
  return listeners;
};

/** The kernel prints each 32-bit word as a number of the machine; all machines we run on are little-endian. */
const addressFromHex = (hex: string): string => {
  const bytes: number[] = [];
  for (let word = 0; word < hex.length; word += 8) {
    for (let at = 6; at >= 0; at -= 2) bytes.push(Number.parseInt(hex.slice(word + at, word + at + 2), 16));
  }
  if (bytes.length === 4) return bytes.join(".");
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  return normalAddress(groups.map((group) => group.toString(16)).join(":"));
};

/** Output of `lsof -nP -iTCP:PORT -sTCP:LISTEN -Fptn`: a letter before each value, one a line. */
export const parseLsof = (text: string, port: number): Listener[] => {
  const listeners: Listener[] = [];
  let pid = "";
  let anyAddress = "0.0.0.0";
  for (const line of text.split("\n")) {
    const value = line.slice(1);
    if (line.startsWith("p")) pid = value;
    else if (line.startsWith("t")) anyAddress = value === "IPv6" ? "::" : "0.0.0.0";
    else if (line.startsWith("n") && value.endsWith(`:${port}`)) {
      const host = value.slice(0, value.lastIndexOf(":"));
      listeners.push({ address: host === "*" ? anyAddress : normalAddress(host), port, holder: pid });
    }
  }
  return listeners;
};

/** One spelling for each address, so that spellings can be compared; an IPv4 address in IPv6 dress becomes plain. */
export const normalAddress = (host: string): string => {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (!isIPv6(bare)) return bare.toLowerCase();
  const short = new URL(`http://[${bare.split("%")[0]}]`).hostname.slice(1, -1);
  const mapped = short.match(/^::ffff:([0-9a-f]+):([0-9a-f]+)$/);
  if (mapped === null) return short;
  const [high, low] = [Number.parseInt(mapped[1] ?? "", 16), Number.parseInt(mapped[2] ?? "", 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
};

/**
 * The sockets of one port that may be given a connection to `host`. For `0.0.0.0` or `::` these are all that
 * answer at any address of that family. A host that is no address and not `localhost` may be any of them.
 */
export const answering = (listeners: readonly Listener[], host: string): Listener[] => {
  const wanted = normalAddress(host);
  if (wanted === "localhost") {
    return [...new Set([...answering(listeners, "127.0.0.1"), ...answering(listeners, "::1")])];
  }
  if (isIPv4(wanted)) return answeringIPv4(listeners, wanted);
  // A socket on `::` takes IPv4 as well, so that it shares the port with IPv4 sockets.
  if (!isIPv6(wanted) || wanted === "::") return [...listeners];
  const exact = listeners.filter((listener) => listener.address === wanted);
  return exact.length > 0 ? exact : listeners.filter((listener) => listener.address === "::");
};

/**
 * The kernel prefers the socket on that very address, then one on `0.0.0.0`, then one on `::` (unless that is
 * kept to IPv6, which /proc does not tell). Source: `compute_score` and `__inet_lookup_listener` in Linux's
 * net/ipv4/inet_hashtables.c.
 */
const answeringIPv4 = (listeners: readonly Listener[], wanted: string): Listener[] => {
  const any = listeners.filter((listener) => listener.address === "0.0.0.0");
  const behind = any.length > 0 ? any : listeners.filter((listener) => listener.address === "::");
  const exact = listeners.filter((listener) => isIPv4(listener.address) && listener.address !== "0.0.0.0");
  if (wanted === "0.0.0.0") return [...exact, ...behind];
  const match = exact.filter((listener) => listener.address === wanted);
  return match.length > 0 ? match : behind;
};
