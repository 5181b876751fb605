import type { Command } from "commander";
import { type BackendType, configFields, inferBackendType, parseConfig } from "../../contract/config.ts";
import { toFieldError } from "../../contract/errors.ts";
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
import { fieldsOf, parseList } from "../config-flags.ts";
import { parseConfigText, type RawConfig } from "../config-input.ts";
import { CtlError, exitCodes, usageError, worst } from "../errors.ts";
import { reportError, writeAnswers } from "../io.ts";
import { nameOf } from "../names.ts";
import { addPatience, type StartOptions, startAll } from "../starting.ts";
import { isAtRest } from "../status.ts";

interface EditOptions extends OutputOptions, StartOptions {
  all?: true;
  set?: string[];
  restart?: true;
}

const backendOf = (config: RawConfig): BackendType => {
  const given = config.backend_type;
  return typeof given === "string" && Object.hasOwn(configFields, given)
    ? (given as BackendType)
    : inferBackendType(config);
};

/** The config with each `name=value` put in. @throws usage error where there is no such field */
export const withValues = (config: RawConfig, assignments: readonly string[]): RawConfig => {
  const pairs = assignments.map((text): [string, string] => {
    const at = text.indexOf("=");
    if (at < 1) throw usageError(`--set '${text}' is no name=value`);
    return [text.slice(0, at).replaceAll("-", "_"), text.slice(at + 1)];
  });
  const backend = backendOf({ ...config, ...Object.fromEntries(pairs) });
  const fields = fieldsOf(backend);
  const values = pairs.map(([name, value]): [string, unknown] => {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined && name !== "backend_type") {
      throw usageError(
        `--set: ${backend} has no field '${name}'`,
        `it has: ${fields.map((known) => known.name).join(", ")}`,
      );
    }
    return [name, field?.kind === "list" && value !== "" ? parseList(value, `--set ${name}`) : value];
  });
  return { ...config, ...Object.fromEntries(values) };
};

/** What the daemon would refuse, found before anything is stopped. */
const checked = (config: RawConfig): RawConfig => {
  const parsed = parseConfig(config);
  if (!parsed.success) {
    const lines = parsed.issues.map(
      ({ path, issue, input }) => `${path.join(".")}: ${toFieldError(path, issue, input).msg}`,
    );
    throw usageError("these values are not taken:", ...lines);
  }
  return { ...parsed.config, ...Object.fromEntries(parsed.unknownKeys.map((key) => [key, config[key]])) };
};

/** Lets the user edit until the config is right, or given up. */
const editByHand = async (cli: Cli, name: string, config: RawConfig): Promise<RawConfig> => {
  const { commented, configAsYaml, editText, withPrivateFile } = await import("../editor.ts");
  const before = `${commented([`The config of ${name}. Save and leave to apply it; leave it as it is to change nothing.`])}${await configAsYaml(config)}`;
  return await withPrivateFile("config.yaml", async (path) => {
    let text = before;
    for (;;) {
      text = await editText(cli.io, path, text);
      if (text === before) return config;
      try {
        return checked(await parseConfigText(text, "the config"));
      } catch (error) {
        if (!cli.io.stdin.terminal) throw error;
        reportError(cli.io, error);
        const { confirm } = await import("../prompt.ts");
        if (!(await confirm(cli.io, "Edit it again?"))) throw new CtlError(exitCodes.usage, "nothing was changed");
      }
    }
  });
};

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
  ) {}

  /** Null where nothing was to be changed. */
  async edit(listed: ListedInstance): Promise<Edited | null> {
    const { api, options } = this;
    const name = nameOf(listed, this.all);
    this.refuseRunning(listed, name);
    const before = configIn(await api.request(instancePath(listed.id), instanceSchema));
    const after =
      options.set === undefined ? await editByHand(this.cli, name, before) : checked(withValues(before, options.set));
    const changes = changesBetween(before, after);
    if (changes.length === 0) {
      this.say(`${name}: nothing to change`);
      return null;
    }
    const wasActive = !isAtRest(listed.status);
    if (wasActive) await operate(api, listed.id, "stop");
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

const run = async (cli: Cli, command: Command, names: string[], options: EditOptions): Promise<number> => {
  if (options.set === undefined && (options.all || names.length > 1)) {
    throw usageError("the editor takes one instance; with --set several are changed at once");
  }
  const { api, instances, all, code } = await cli.named(command, names, options.all === true);
  const editing = new Editing(cli, api, all, options);
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
  const restarted = await startAll(cli, api, changed, all, "start", options);
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
    .option("--restart", "stop it, apply, and start it")
    .addHelpText(
      "after",
      `
Without --set the config is opened in $VISUAL or $EDITOR, as YAML. What was changed is said on stderr.

Examples:
  $ solar-host ctl edit llama
  $ solar-host ctl edit llama --set temp=0.7 --set ctx_size=8192 --restart --wait
  $ solar-host ctl edit --all --set host=127.0.0.1`,
    )
    .action(cli.action((names: string[], options: EditOptions) => run(cli, command, names, options)));
};
