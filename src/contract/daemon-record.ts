import { z } from "zod";

/**
 * What a running daemon leaves for clients of the same user on the same machine: a file that other users may not
 * read, removed at the daemon's end.
 */
export const daemonRecord = z.object({
  url: z.string(),
  /** Where its config.json lies; there is one daemon a directory. */
  directory: z.string(),
  key: z.string(),
  version: z.string(),
  pid: z.int(),
  /** When the process started, as an opaque text (Linux: clock ticks since boot, macOS: its date). */
  start_time: z.string(),
  /** Which run of the machine that was. */
  boot_id: z.string(),
  /** In which `pid` counts, since containers number their processes each for itself. Absent on macOS and in old records. */
  pid_namespace: z.string().optional(),
});
export type DaemonRecord = z.output<typeof daemonRecord>;

/** The folder of these records. @param home the user's home folder */
export const daemonRecordFolder = (env: Readonly<Record<string, string | undefined>>, home: string): string =>
  `${xdgFolder(env.XDG_STATE_HOME, `${home}/.local/state`)}/solar-host/daemons`;

/** XDG asks for a relative folder to be ignored. */
export const xdgFolder = (given: string | undefined, otherwise: string): string =>
  given?.startsWith("/") ? given.replace(/\/+$/, "") : otherwise;
