import { link, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { targetOf } from "./atomic-file.ts";

/** Whether a file can be replaced as a save does it, tried before the first save has to. */

const words: Readonly<Record<string, string>> = {
  EACCES: "this user may not write in its folder",
  EPERM: "this user may not write in its folder",
  EROFS: "its file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's share of the disk is full",
};

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "";

/** A file that is mounted by itself (a single file given to a container, say) cannot be replaced by another one. */
const isMount = async (path: string, name: string): Promise<boolean> => {
  try {
    await link(path, name);
    return false;
  } catch (error) {
    // Its folder is of another file system than it is: two mounts. Where links are not to be had, it shows at the save.
    return codeOf(error) === "EXDEV";
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
    return words[codeOf(error)] ?? `no file can be made in ${dirname(path)} (${codeOf(error)})`;
  } finally {
    await rm(beside, { force: true }).catch(() => undefined);
  }
  return (await isMount(path, `${beside}.old`))
    ? "it is a mount of its own, which cannot be replaced: mount its folder instead"
    : null;
};
