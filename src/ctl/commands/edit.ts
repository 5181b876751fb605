import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli } from "../cli.ts";
import { readConfigFile } from "../config-input.ts";
import { type Edited, Editing, type EditOptions } from "../editing.ts";
import { exitCodes, usageError, worst } from "../errors.ts";
import { writeAnswers } from "../io.ts";
import { addPatience, patienceOf, startAll } from "../starting.ts";

const checkOptions = (names: string[], { all, set, file, restart, wait, timeout, force }: EditOptions): void => {
  if (set !== undefined && file !== undefined) throw usageError("give --set or -f, not both");
  if (set === undefined && (all || names.length > 1))
    throw usageError("a whole config is for one instance; with --set several are changed at once");
  const setsAlias = set?.some((text) => /^alias=/.test(text)) === true;
  if (setsAlias && (all || names.length > 1) && !force)
    throw usageError("one alias for several instances would name none of them", "--force does it all the same");
  if (!restart && (wait || timeout !== undefined))
    throw usageError("--wait and --timeout go with --restart, which is what starts it");
};

const run = async (cli: Cli, command: Command, names: string[], options: EditOptions): Promise<number> => {
  checkOptions(names, options);
  const given = options.file === undefined ? null : await readConfigFile(cli, options.file);
  const patience = patienceOf(options);
  const named = await cli.named(command, names, options.all === true, patience.deadline.signal);
  const { api, instances, all, code } = named;
  const editing = new Editing(cli, api, all, options, given, patience);
  const edited = new Map<ListedInstance, Edited>();
  const end = await cli.each(instances, async (instance) => {
    const done = await editing.edit(instance);
    if (done !== null) edited.set(instance, done);
    return exitCodes.ok;
  });
  const changed = instances.filter((instance) => edited.has(instance));
  if (!options.restart || changed.length === 0) {
    writeAnswers(
      cli.io,
      options,
      names.length === 1,
      changed.flatMap((instance) => edited.get(instance) ?? []),
    );
    return worst([code, end]);
  }
  const restarted = await startAll(cli, api, changed, all, "start", options, editing.patience);
  writeAnswers(cli.io, options, names.length === 1, restarted.started);
  return worst([code, end, restarted.code]);
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addPatience(addNames(command)), "what the API answers, an array for several")))
    .option(
      "--set <name=value>",
      "a field of the config; may be repeated; nothing behind = unsets it",
      (value: string, before: string[] = []) => [...before, value],
    )
    .option("-f, --file <file>", "the whole config from a file, JSON or YAML; '-' reads stdin")
    .option("--restart", "stop it, apply, and start it")
    .option("--force", "with an alias that another instance has too")
    .addHelpText(
      "after",
      `
Without --set and -f the config is opened in $VISUAL or $EDITOR, as YAML (JSON is taken too). A text that is
wrong can be edited again, and is kept otherwise. What was changed is said on stderr; a key is never shown.

Examples:
  $ solar-host ctl edit llama
  $ solar-host ctl edit llama --set temp=0.7 --set ctx_size=8192 --restart --wait
  $ solar-host ctl edit --all --set host=127.0.0.1`,
    )
    .action(cli.action((names: string[], options: EditOptions) => run(cli, command, names, options)));
};
