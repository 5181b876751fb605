import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BackendType, configFields } from "../contract/config.ts";
import type { RawConfig } from "./config-input.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";
import type { Io } from "./io.ts";

/** Opens a config in the user's editor, as YAML with what each field means. */

export const configAsYaml = async (config: RawConfig): Promise<string> => {
  const { stringify } = await import("yaml");
  const fields = configFields[config.backend_type as BackendType] ?? {};
  return Object.entries(config)
    .map(([name, value]) => {
      const description = fields[name]?.schema.meta()?.description;
      return `${description === undefined ? "" : `# ${description}\n`}${stringify({ [name]: value })}`;
    })
    .join("");
};

export const commented = (lines: readonly string[]): string => lines.map((line) => `# ${line}\n`).join("");

/** A file that only the user may read, since a config holds a key; it goes when `use` is done. */
export const withPrivateFile = async <T>(name: string, use: (path: string) => Promise<T>): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), "solar-host-"));
  try {
    return await use(join(folder, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** The text as the user leaves it. @throws CtlError where the editor fails: nothing is changed then */
export const editText = async (io: Io, path: string, text: string): Promise<string> => {
  const editor = io.env.VISUAL || io.env.EDITOR || "vi";
  writeFileSync(path, text, { mode: 0o600 });
  // As git does it: $EDITOR may hold flags.
  const child = Bun.spawn(["sh", "-c", `${editor} "$1"`, "sh", path], {
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  });
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  const code = await child.exited;
  process.off("SIGINT", ignore);
  if (code === 127)
    throw usageError(
      `the editor '${editor}' cannot be run`,
      "set EDITOR, or change single fields with --set name=value",
    );
  if (code !== 0) throw new CtlError(exitCodes.failure, `the editor ended with ${code}: nothing was changed`);
  return readFileSync(path, "utf8");
};
