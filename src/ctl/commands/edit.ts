import type { Command } from "commander";
import { type Instance, instanceAnswer, instance as instanceSchema } from "../../contract/instance.ts";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import type { Answer, Api } from "../api.ts";
import { instancePath, listInstances } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli } from "../cli.ts";
import { type Change, changesBetween, changeText, checked, clashesWith, withValues } from "../config-edit.ts";
import { type RawConfig, readConfigFile } from "../config-input.ts";
import { editByHand } from "../editor.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { asWord, refuseUsedAlias } from "../names.ts";
import { Progress } from "../progress.ts";
import { addPatience, type Patience, patienceOf, type StartOptions, startOne } from "../starting.ts";
import { isAtRest } from "../status.ts";

interface EditOptions extends StartOptions {
  all?: true;
  set?: string[];
  file?: string;
  restart?: true;
  force?: true;
}

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

/** As the daemon has it: a newer one may have fields that this client does not know, and they are to stay. */
const configIn = ({ value, raw }: Answer<Instance>): RawConfig => ({
  ...value.config,
  ...(raw as { config: RawConfig }).config,
});

/** What was to be changed, as it was written; a key is not shown. */
const asGiven = ({ set = [], file }: EditOptions): string =>
  [
    ...set.map((text) => ` --set ${/^api[-_]key=/.test(text) ? "api_key=…" : asWord(text)}`),
    ...(file === undefined ? [] : [` -f ${asWord(file)}`]),
  ].join("");

const refuseRunning = ({ status }: ListedInstance, name: string, options: EditOptions): void => {
  if (isAtRest(status) || options.restart) return;
  throw new CtlError(exitCodes.failure, `${name} is ${status}, and a config is changed at rest`, [
    `stop, change and start it in one: solar-host ctl edit ${asWord(name)}${asGiven(options)} --restart`,
    `or stop it first: solar-host ctl stop ${asWord(name)}`,
  ]);
};

/** @throws CtlError where a field that was edited by hand was given yet another value meanwhile */
const refuseClashes = (name: string, changes: readonly Change[], now: RawConfig): void => {
  const clashes = clashesWith(changes, now);
  if (clashes.length === 0) return;
  const message = `${name} was changed by somebody else meanwhile, and is left as it is now:`;
  throw new CtlError(exitCodes.failure, message, clashes.map(changeText));
};

interface Edit {
  cli: Cli;
  api: Api;
  options: EditOptions;
  /** The config of `-f`. */
  given: RawConfig | null;
  patience: Patience;
  progress: Progress;
  /** Names of those that the daemon is stopping and starting. */
  unfinished: Set<string>;
}

/** Only the fields that this user changes are sent, so that no other client's change is undone. */
const apply = async (edit: Edit, instance: ListedInstance, name: string, changes: readonly Change[]) => {
  const { api, cli, options, patience, progress, unfinished } = edit;
  const { id } = instance;
  const { signal } = patience.deadline;
  const alias = changes.find((change) => change.name === "alias")?.after;
  if (alias !== undefined && !options.force) {
    const { value: all } = await listInstances(api, { signal });
    refuseUsedAlias(
      alias,
      all.filter((other) => other.id !== id),
    );
  }
  if (options.restart) unfinished.add(name);
  if (options.restart && !isAtRest(instance.status) && cli.io.stderr.terminal) {
    progress.show(name, { ...instance, status: "stopping" });
  }
  try {
    const answer = await api.request(instancePath(id), instanceAnswer, {
      method: "PATCH",
      query: options.restart ? { restart: "true", wait: 0 } : {},
      body: { config: Object.fromEntries(changes.map((change) => [change.name, change.after])) },
      ...(options.restart ? { timeoutMs: null } : {}),
      signal,
    });
    progress.end(name, null);
    const told = [...changes.map(changeText), ...(answer.value.warnings ?? [])];
    if (!options.quiet && !options.json) for (const text of told) cli.io.say(`${name}: ${text}`);
    return options.restart ? await startOne(api, instance, name, "start", patience, progress) : answer;
  } finally {
    unfinished.delete(name);
    progress.end(name, null);
  }
};

const editOne = async (edit: Edit, instance: ListedInstance, name: string): Promise<{ raw: unknown }> => {
  const { api, cli, options, given } = edit;
  refuseRunning(instance, name, options);
  const { signal } = edit.patience.deadline;
  const answer = await api.request(instancePath(instance.id), instanceSchema, { signal });
  const before = configIn(answer);
  const unchanged = (): { raw: unknown } => {
    if (!options.quiet && !options.json) cli.io.say(`${name}: nothing to change`);
    return { raw: { instance: answer.raw, message: "nothing to change" } };
  };
  const wished = options.set === undefined ? given : withValues(before, options.set);
  if (wished !== null) {
    const after = checked(await cli.withPaths(api, wished, options.file ?? null, before), before);
    const changes = changesBetween(before, after);
    return changes.length === 0 ? unchanged() : await apply(edit, instance, name, changes);
  }
  const edited = await editByHand(cli, name, before, async (text) => {
    const changes = changesBetween(before, await cli.withPaths(api, text, null, before));
    if (changes.length === 0) return null;
    // The time that a person took is not the daemon's.
    edit.patience = patienceOf(options);
    refuseClashes(name, changes, configIn(await api.request(instancePath(instance.id), instanceSchema)));
    return await apply(edit, instance, name, changes);
  });
  return edited ?? unchanged();
};

const run = async (cli: Cli, command: Command, names: string[], options: EditOptions): Promise<number> => {
  checkOptions(names, options);
  const given = options.file === undefined ? null : await readConfigFile(cli, options.file);
  const patience = patienceOf(options);
  const named = await cli.named(command, names, options.all === true, patience.deadline.signal);
  const progress = new Progress(cli.io, options);
  const edit: Edit = { cli, api: named.api, options, given, patience, progress, unfinished: new Set() };
  cli.onInterrupt = () => {
    progress.leave();
    for (const name of edit.unfinished) {
      cli.io.say(`interrupted; the daemon goes on: see what becomes of it by: solar-host ctl get ${asWord(name)}`);
    }
  };
  return cli.print(await cli.each(named, (instance, name) => editOne(edit, instance, name)), options);
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
