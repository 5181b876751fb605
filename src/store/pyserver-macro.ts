import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Run while the binary is built: the Python server's source becomes part of the program. */

export interface EmbeddedPackage {
  /** Of all paths and contents: another source unpacks into another folder. */
  hash: string;
  /** Content by path below the folder that Python runs. */
  files: Record<string, string>;
}

const PACKAGE = "solar_pyserver";
/** Makes the folder one that Python runs. */
const ENTRY = "__main__.py";

export const embedPyserver = (): EmbeddedPackage => {
  const root = join(import.meta.dir, "../../pyserver");
  const paths = readdirSync(join(root, PACKAGE), { recursive: true, encoding: "utf8" })
    .map((path) => join(PACKAGE, path))
    .filter((path) => path.endsWith(".py") || path.endsWith("py.typed"))
    .concat(ENTRY)
    .sort();
  const files = Object.fromEntries(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
  const hash = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 16);
  return { hash, files };
};
