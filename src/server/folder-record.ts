import { join } from "node:path";
import { systemProblem } from "../common/system-error.ts";
import { FOLDER_RECORD, type FolderRecord } from "../contract/folder-record.ts";
import { identify } from "../process/identity.ts";
import { replaceFileSync } from "../store/atomic-file.ts";
import { version } from "../version.ts";

/** Leaves the record for clients that stand in the daemon's folder. A failure is only told: the daemon needs it not. */
export const leaveFolderRecord = (
  stateDir: string,
  url: string,
  envFile: string,
  warn: (message: string) => void,
): void => {
  const path = join(stateDir, FOLDER_RECORD);
  try {
    const identity = identify(process.pid);
    if (identity === null) throw new Error("the system does not tell when this process started");
    const { pid, startTime: start_time, bootId: boot_id } = identity;
    const record: FolderRecord = { url, version, pid, start_time, boot_id, env_file: envFile };
    replaceFileSync(path, `${JSON.stringify(record, null, 2)}\n`, false);
  } catch (error) {
    warn(`no record for clients in this folder: ${systemProblem(error, path)}`);
  }
};
