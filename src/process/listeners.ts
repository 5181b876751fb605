import { readFile } from "node:fs/promises";
import { errorCode } from "../common/system-error.ts";
import { outputLater } from "./darwin.ts";
import { socketInodes } from "./proc.ts";
import { answering, type Listener, parseLsof, parseProcNet } from "./sockets.ts";

/** Which processes listen at an address: a given set, or others. */
export interface PortHolders {
  /** One of the processes listens there. */
  ours: boolean;
  /**
   * Another process listens there. With `ours` beside it, both share the port (SO_REUSEPORT), and either may answer.
   * On macOS, a process of another user is not seen.
   */
  foreign: boolean;
  /** There is a listener that cannot be told apart, for the descriptors of one of the processes are hidden. */
  unknown: boolean;
}

/**
 * Which sides answer a connection to `host`:`port`: `pids` or others. An answer on the port proves nothing by
 * itself, since a server of another program may hold it, or share it.
 * `host` is what the server was told to bind to: an address, `localhost`, `0.0.0.0`, `::`.
 * It takes some 10 ms, since the kernel goes through its whole table of connections to print the listeners; they
 * pass on another thread.
 */
export const listenersOn = async (port: number, host: string, pids: readonly number[]): Promise<PortHolders> => {
  const all = process.platform === "darwin" ? await darwinListeners(port) : await linuxListeners(port);
  const listeners = answering(all, host);
  if (listeners.length === 0) return { ours: false, foreign: false, unknown: false };
  const { held, hidden } = process.platform === "darwin" ? heldByPid(pids) : heldByInode(pids);
  const ours = listeners.filter((listener) => held.has(listener.holder)).length;
  const others = ours < listeners.length;
  return { ours: ours > 0, foreign: others && !hidden, unknown: others && hidden };
};

const linuxListeners = async (port: number): Promise<Listener[]> => {
  const texts = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readTable));
  return texts.flatMap((text) => parseProcNet(text, port));
};

const readTable = async (path: string): Promise<string> => {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    // No tcp6 where the kernel was started without IPv6.
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
};

const heldByInode = (pids: readonly number[]): { held: Set<string>; hidden: boolean } => {
  const held = new Set<string>();
  let hidden = false;
  for (const pid of pids) {
    const inodes = socketInodes(pid);
    if (inodes === null) hidden = true;
    else for (const inode of inodes) held.add(inode);
  }
  return { held, hidden };
};

const darwinListeners = async (port: number): Promise<Listener[]> =>
  parseLsof(await outputLater(["lsof", "-nPw", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fptn"]), port);

const heldByPid = (pids: readonly number[]): { held: Set<string>; hidden: boolean } => ({
  held: new Set(pids.map(String)),
  hidden: false,
});
