import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type BackendType, configFields } from "../contract/config.ts";
import type { Cli } from "./cli.ts";
import { checked, withoutKey } from "./config-edit.ts";
import { parseConfigText, type RawConfig } from "./config-input.ts";
import { CtlError, doing, exitCodes, usageError } from "./errors.ts";
import { textOf } from "./foreign-text.ts";
import { type Io, reportError } from "./io.ts";
import { asWord } from "./names.ts";

/** A config in the user's editor, as YAML with what each field means, as often as it takes. */

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

const introOf = (name: string): string =>
  [
    `# The config of ${name}. Save and leave to apply it; leave it as it is to change nothing.`,
    "# A field that is taken out gets its default; the key stays as it is until another is put there.\n",
  ].join("\n");

/** What interrupts is for the editor while it is there: ours would end us and leave it behind. */
const withoutInterrupts = async <T>(run: () => Promise<T>): Promise<T> => {
  const before = process.rawListeners("SIGINT") as NodeJS.SignalsListener[];
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  for (const listener of before) process.off("SIGINT", listener);
  try {
    return await run();
  } finally {
    for (const listener of before) process.on("SIGINT", listener);
    process.off("SIGINT", ignore);
  }
};

/** Lets the user edit a file. @throws CtlError where the editor fails */
const openEditor = async ({ env, stdout }: Io, path: string): Promise<void> => {
  const editor = env.VISUAL || env.EDITOR || "vi";
  // As git does it: the variable may hold flags. An interrupt is for the editor, and is to end neither us nor this
  // shell. It draws on the terminal, wherever our data goes.
  const child = Bun.spawn(["sh", "-c", `trap : INT; ${editor} "$1"`, "sh", path], {
    stdin: "inherit",
    stdout: stdout.terminal ? "inherit" : 2,
    stderr: "inherit",
  });
  const code = await withoutInterrupts(() => child.exited);
  if (code === 127) {
    throw usageError(
      `the editor '${editor}' cannot be run`,
      "set EDITOR, or change single fields with --set name=value",
    );
  }
  if (code !== 0) throw new CtlError(exitCodes.failure, `the editor ended with ${code}: nothing was changed`);
};

/** In a file that only the user may read, since a config may hold a key. */
const writeText = (text: string): string =>
  doing("cannot write the text for the editor", tmpdir(), () => {
    const path = join(mkdtempSync(join(tmpdir(), "solar-host-")), "config.yaml");
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  });

const readText = (path: string): Buffer => doing("cannot read the edited text", path, () => readFileSync(path));

/** The config as the user wants it, after as many edits as that takes; null where the text was left as it was. */
const settled = async ({ io }: Cli, path: string, text: string, before: RawConfig): Promise<RawConfig | null> => {
  for (;;) {
    await openEditor(io, path);
    const bytes = readText(path);
    if (bytes.equals(Buffer.from(text))) return null;
    try {
      return checked(await parseConfigText(textOf(bytes, path), "the text"), before);
    } catch (error) {
      if (!(error instanceof CtlError) || !io.stdin.terminal) throw error;
      reportError(io, error);
      const { confirm } = await import("./prompt.ts");
      if (!(await confirm(io, "Edit it again?"))) throw usageError("nothing was changed");
    }
  }
};

/**
 * @param apply stores the config; of what it throws the text is kept
 * @returns what `apply` gave, or null where the text was not changed
 */
export const editByHand = async <T>(
  cli: Cli,
  name: string,
  before: RawConfig,
  apply: (config: RawConfig) => Promise<T>,
): Promise<T | null> => {
  const text = `${introOf(name)}${await configAsYaml(withoutKey(before))}`;
  const path = writeText(text);
  let keeps = false;
  try {
    const config = await settled(cli, path, text, before);
    return config === null ? null : await apply(config);
  } catch (error) {
    keeps = error instanceof CtlError && !readText(path).equals(Buffer.from(text));
    if (!keeps || !(error instanceof CtlError)) throw error;
    throw new CtlError(error.exitCode, error.message, [
      ...error.hints,
      `your text is kept: ${path}`,
      `mend it and apply it: solar-host ctl edit ${asWord(name)} -f ${path}`,
    ]);
  } finally {
    if (!keeps) rmSync(dirname(path), { recursive: true, force: true });
  }
};
