import type { Cli } from "./cli.ts";
import { checked, withoutKey } from "./config-edit.ts";
import { parseConfigText, type RawConfig } from "./config-input.ts";
import { commented, configAsYaml, EditedFile } from "./editor.ts";
import { CtlError, usageError } from "./errors.ts";
import { reportError } from "./io.ts";
import { asWord } from "./names.ts";

/** A config in the user's editor, as often as it takes; a text that was changed and not applied is kept. */

const kept = (error: CtlError, { path }: EditedFile, name: string): CtlError =>
  new CtlError(error.exitCode, error.message, [
    ...error.hints,
    `your text is kept: ${path}`,
    `mend it and apply it: solar-host ctl edit ${asWord(name)} -f ${path}`,
  ]);

/** The config in the text, or what is wrong with it. */
const read = async (file: EditedFile, before: RawConfig): Promise<RawConfig | CtlError> => {
  try {
    return checked(await parseConfigText(file.text(), "the text"), before);
  } catch (error) {
    if (error instanceof CtlError) return error;
    throw error;
  }
};

/** The config as the user wants it, after as many edits as that takes. */
const settled = async (cli: Cli, file: EditedFile, before: RawConfig): Promise<RawConfig | null> => {
  for (;;) {
    await file.open();
    if (!file.changed) return null;
    const config = await read(file, before);
    if (!(config instanceof CtlError)) return config;
    if (!cli.io.stdin.terminal) throw config;
    reportError(cli.io, config);
    const { confirm } = await import("./prompt.ts");
    if (!(await confirm(cli.io, "Edit it again?"))) throw usageError("nothing was changed");
  }
};

/**
 * @param apply stores the config; what it throws leaves the text where it is
 * @returns what `apply` gave, or null where the text was not changed
 */
export const editByHand = async <T>(
  cli: Cli,
  name: string,
  before: RawConfig,
  apply: (config: RawConfig) => Promise<T>,
): Promise<T | null> => {
  const intro = commented([
    `The config of ${name}. Save and leave to apply it; leave it as it is to change nothing.`,
    "A field that is taken out gets its default; the key stays as it is until another is put there.",
  ]);
  const file = EditedFile.create(cli.io, `${intro}${await configAsYaml(withoutKey(before))}`, "config.yaml");
  let keeps = false;
  try {
    const config = await settled(cli, file, before);
    return config === null ? null : await apply(config);
  } catch (error) {
    keeps = file.changed && error instanceof CtlError;
    throw keeps ? kept(error as CtlError, file, name) : error;
  } finally {
    if (!keeps) file.remove();
  }
};
