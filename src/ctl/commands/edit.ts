import type { Command } from "commander";
import {
  type Instance,
  type InstanceAnswer,
  instanceAnswer,
  instance as instanceSchema,
} from "../../contract/instance.ts";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import type { Answer, Api } from "../api.ts";
import { instancePath, operate } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { changesBetween, changeText } from "../config-diff.ts";
import { checked, withValues } from "../config-edit.ts";
import { type RawConfig, readConfigFile } from "../config-input.ts";
import { editByHand } from "../edit-by-hand.ts";
import { CtlError, exitCodes, usageError, worst } from "../errors.ts";
import { writeAnswers } from "../io.ts";
import { nameOf } from "../names.ts";
import { addPatience, type Patience, patienceOf, type StartOptions, startAll } from "../starting.ts";
import { isAtRest } from "../status.ts";

interface EditOptions extends OutputOptions, StartOptions {
  all?: true;
  set?: string[];
  file?: string;
  restart?: true;
}

interface Edited {
  raw: unknown;
  instance: ListedInstance;
}

const put = (api: Api, id: string, config: RawConfig): Promise<Answer<InstanceAnswer>> =>
  api.request(instancePath(id), instanceAnswer, { method: "PUT", body: { config } });

/** As the daemon has it: a newer one may have fields that this client does not know, and they are to stay. */
const configIn = ({ value, raw }: Answer<Instance>): RawConfig => ({
  ...value.config,
  ...(raw as { config: RawConfig }).config,
});

class Editing {
  constructor(
    private readonly cli: Cli,
    private readonly api: Api,
    private readonly all: readonly ListedInstance[],
    private readonly options: EditOptions,
    /** The config of `-f`. */
    private readonly given: RawConfig | null,
    public patience: Patience,
  ) {}

  /** Null where nothing was to be changed. */
  async edit(listed: ListedInstance): Promise<Edited | null> {
    const { api } = this;
    const name = nameOf(listed, this.all);
    this.refuseRunning(listed, name);
    const before = configIn(await api.request(instancePath(listed.id), instanceSchema));
    const apply = (config: RawConfig): Promise<Edited | null> => this.change(listed, name, before, config);
    const done = await this.edited(name, before, apply);
    if (done === null) this.say(`${name}: nothing to change`);
    return done;
  }

  private async edited(
    name: string,
    before: RawConfig,
    apply: (config: RawConfig) => Promise<Edited | null>,
  ): Promise<Edited | null> {
    const { set } = this.options;
    if (set !== undefined) return await apply(checked(withValues(before, set), before));
    if (this.given !== null) return await apply(checked(this.given, before));
    return await editByHand(this.cli, name, before, async (config) => {
      // The time that a person takes is not the daemon's.
      this.patience = patienceOf(this.options);
      return await apply(config);
    });
  }

  private async change(
    listed: ListedInstance,
    name: string,
    before: RawConfig,
    after: RawConfig,
  ): Promise<Edited | null> {
    if (changesBetween(before, after).length === 0) return null;
    const wasActive = !isAtRest(listed.status);
    if (wasActive) await operate(this.api, listed.id, "stop", undefined, this.patience.deadline.signal);
    const answer = await this.apply(listed, after, wasActive);
    for (const change of changesBetween(before, answer.value.instance.config))
      this.say(`${name}: ${changeText(change)}`);
    for (const warning of answer.value.warnings ?? []) this.say(`${name}: ${warning}`);
    return { raw: answer.raw, instance: listed };
  }

  private refuseRunning({ status }: ListedInstance, name: string): void {
    if (isAtRest(status) || this.options.restart) return;
    throw new CtlError(exitCodes.failure, `${name} is ${status}, and a config is changed at rest`, [
      `stop, change and start it in one: solar-host ctl edit ${name} --restart`,
      `or stop it first: solar-host ctl stop ${name}`,
    ]);
  }

  /** A refusal must not leave stopped what ran before. */
  private async apply(listed: ListedInstance, config: RawConfig, wasActive: boolean) {
    try {
      return await put(this.api, listed.id, config);
    } catch (error) {
      if (wasActive) await operate(this.api, listed.id, "start", 0).catch(() => undefined);
      throw error;
    }
  }

  private say(text: string): void {
    if (!this.options.quiet && !this.options.json) this.cli.io.say(text);
  }
}

const checkOptions = (names: string[], { all, set, file, restart, wait, timeout }: EditOptions): void => {
  if (set !== undefined && file !== undefined) throw usageError("give --set or -f, not both");
  if (set === undefined && (all || names.length > 1))
    throw usageError("a whole config is for one instance; with --set several are changed at once");
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
