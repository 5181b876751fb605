import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { type BackendDefinition, definitions } from "../../contract/backends/index.ts";
import { type InstanceAnswer, instanceAnswer } from "../../contract/instance.ts";
import type { Answer, Api } from "../api.ts";
import { listInstances } from "../calls.ts";
import { addConnection, addJson, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { addFieldOptions, type ConfigField, configOf, describeFields, flagOf } from "../config-flags.ts";
import { type RawConfig, readConfigFile } from "../config-input.ts";
import { exitCodes, usageError } from "../errors.ts";
import { jsonError, writeJson } from "../io.ts";
import { asWord, nameOf, refuseUsedAlias } from "../names.ts";
import { addPatience, patienceOf, type StartOptions, startAll } from "../starting.ts";

interface CreateOptions extends OutputOptions, StartOptions {
  file?: string;
  start?: true;
  force?: true;
}

const KEY_BYTES = 24;

const isBlank = (value: unknown): boolean => value === undefined || value === null || value === "";

/** A config without a key gets one. */
const withKey = (config: RawConfig): { config: RawConfig; made: boolean } =>
  isBlank(config.api_key)
    ? { config: { ...config, api_key: randomBytes(KEY_BYTES).toString("base64url") }, made: true }
    : { config, made: false };

const tell = ({ io }: Cli, { value }: Answer<InstanceAnswer>, name: string, made: boolean, starts: boolean): void => {
  io.say(`${value.instance.config.alias} is created`);
  for (const warning of value.warnings ?? []) io.say(`${io.stderr.palette.yellow("warning:")} ${warning}`);
  if (made) io.say(`its api_key was made: solar-host ctl get ${asWord(name)} --json shows it`);
  if (!starts) io.say(`start it: solar-host ctl start ${asWord(name)} --wait`);
};

/** Starts what was created; the answer is then the instance as it became. */
const createAndStart = async (cli: Cli, api: Api, config: RawConfig, options: CreateOptions): Promise<number> => {
  const { config: whole, made } = withKey(config);
  const patience = patienceOf(options);
  const others = await listInstances(api, { signal: patience.deadline.signal });
  if (!options.force) refuseUsedAlias(whole.alias, others.value);
  const answer = await api.request("/instances", instanceAnswer, {
    method: "POST",
    body: { config: whole },
    signal: patience.deadline.signal,
  });
  const { instance } = answer.value;
  const starts = options.start === true || options.wait === true || options.timeout !== undefined;
  if (!options.json) cli.io.write(`${instance.id}\n`);
  const all = [...others.value, instance];
  if (!options.json && !options.quiet) tell(cli, answer, nameOf(instance, all), made, starts);
  if (!starts) {
    if (options.json) writeJson(cli.io, answer.raw);
    return 0;
  }
  const named = { api, instances: [instance], all, errors: [], single: true };
  const { results, code } = await startAll(cli, named, "start", options, patience);
  const [end] = results;
  if (options.json && end !== undefined) {
    // It is created all the same, which a program has to know too.
    const document = "error" in end ? { ...(answer.raw as object), ...jsonError(end.error) } : end.answer.raw;
    writeJson(cli.io, document);
  }
  if (code === exitCodes.failure) {
    const name = asWord(nameOf(instance, all));
    cli.io.say(`it is created all the same. Mend it: solar-host ctl edit ${name} --restart`);
    cli.io.say(`or delete it: solar-host ctl rm ${name}`);
  }
  return code;
};

/** @param stray what stands there and is neither a backend nor a flag of all of them */
const whyNotCreate = (stray: string | undefined): string => {
  const what = "say what to create: a backend with its flags, or -f with a file";
  if (stray === undefined) return what;
  return stray.startsWith("-") ? `${what}; create alone has no ${stray}` : `there is no backend '${stray}'`;
};

const addCommon = (command: Command): Command =>
  addConnection(
    addQuiet(
      addJson(
        addPatience(
          command.option("--start", "start it").option("--force", "with an alias that another instance has too"),
        ),
        "what the API answers",
      ),
    ),
  );

/** The flags of what has to be said of a model, alias and key aside. */
const modelFlags = (fields: readonly ConfigField[], example: Readonly<Record<string, unknown>>): string =>
  fields
    .filter(({ name, required }) => required && name !== "alias" && name !== "api_key")
    .map(({ name }) => `${flagOf(name)} ${asWord(String(example[name]))}`)
    .join(" ");

const addBackend = (create: Command, { type: backend, fields: all, example }: BackendDefinition, cli: Cli): void => {
  const fields = describeFields(all);
  const command = create.command(backend).description(`create an instance of ${backend}`);
  addCommon(command);
  addFieldOptions(command, fields);
  const model = modelFlags(fields, example);
  command
    .addHelpText(
      "after",
      `
Its id goes to stdout. A relative path is this folder's where the daemon runs on this machine. Each flag is a field of the config; the daemon checks the values.

Examples:
  $ solar-host ctl create ${backend} ${model} --alias name:8b
  $ solar-host ctl create ${backend} ${model} --alias name:8b --host 127.0.0.1 --start --wait`,
    )
    .action(
      cli.action(async () => {
        // Flags that `create` has too are kept there, wherever they stand.
        const options = command.optsWithGlobals<CreateOptions>();
        if (options.file !== undefined) throw usageError("give the backend and its flags, or -f, not both");
        const config = { backend_type: backend, ...configOf(fields, command.opts()) };
        const api = await cli.connect(command);
        return await createAndStart(cli, api, await cli.withPaths(api, config, null), options);
      }),
    );
};

export const define = (command: Command, cli: Cli, backends: readonly BackendDefinition[] = definitions): void => {
  addCommon(command)
    .option("-f, --file <file>", "config in JSON or YAML, bare or as {config}; '-' reads stdin")
    .addHelpText(
      "after",
      `
Its id goes to stdout. --wait and --timeout start it too.

Examples:
  $ solar-host ctl create llamacpp --model /models/llama-3-8b.gguf --alias llama-3:8b --start --wait
  $ solar-host ctl create llamacpp --help          every field of a backend
  $ solar-host ctl create -f instance.yaml --start
  $ solar-host ctl get llama --json | solar-host ctl create -f - --context gpu2`,
    )
    .action(
      cli.action(async (options: CreateOptions) => {
        const [stray] = command.args;
        if (options.file === undefined || stray !== undefined) {
          throw usageError(
            whyNotCreate(stray),
            `the backends are ${backends.map(({ type }) => type).join(", ")}`,
            "for example: solar-host ctl create llamacpp --model /models/llama-3-8b.gguf --alias llama-3:8b",
          );
        }
        const config = await readConfigFile(cli, options.file);
        const api = await cli.connect(command);
        return await createAndStart(cli, api, await cli.withPaths(api, config, options.file), options);
      }),
    );
  for (const backend of backends) addBackend(command, backend, cli);
  // After its backends, which would take these over: what is none of them is told with their names.
  command.allowExcessArguments().allowUnknownOption();
};
