import { z } from "zod";

/**
 * What a daemon leaves in its own folder, `.solar-host/daemon.json`: a client of another user, or with another home,
 * finds it there. It holds no key. It stays after the daemon's end, so that a reader looks whether the process runs.
 */
export const folderRecord = z.object({
  url: z.string(),
  version: z.string(),
  pid: z.int(),
  /** As in the record for clients of the same user. */
  start_time: z.string(),
  boot_id: z.string(),
  pid_namespace: z.string().optional(),
  /** The `.env` that was read, which may hold the key. */
  env_file: z.string(),
});
export type FolderRecord = z.output<typeof folderRecord>;

export const STATE_FOLDER = ".solar-host";
export const FOLDER_RECORD = "daemon.json";
