import { link, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, meaningOf, systemProblem } from "../common/system-error.ts";
import { targetOf } from "./atomic-file.ts";

/** Whether a file can be replaced as a save does it, tried before the first save has to. */

/** A file that is mounted by itself (a single file given to a container, say) cannot be replaced by another one. */
const isMount = async (path: string, name: string): Promise<boolean> => {
  try {
    await link(path, name);
    return false;
  } catch (error) {
    // Its folder is of another file system than it is: two mounts. Where links are not to be had, it shows at the save.
    return errorCode(error) === "EXDEV";
  } finally {
    await rm(name, { force: true }).catch(() => undefined);
  }
};

/** For a person; null where nothing stands in the way. @param file the file, or a link to it; it need not be there */
export const whyNotSavable = async (file: string): Promise<string | null> => {
  const path = targetOf(file);
  const beside = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(beside, "\n", { mode: 0o600 });
  } catch (error) {
    return systemProblem(error, dirname(path));
  } finally {
    await rm(beside, { force: true }).catch(() => undefined);
  }
  return (await isMount(path, `${beside}.old`)) ? meaningOf("EXDEV", `'${path}'`) : null;
};
