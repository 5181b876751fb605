import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { systemProblem } from "../common/system-error.ts";
import type { ListedInstance } from "../contract/instance-facts.ts";
import { Api } from "./api.ts";
import { listInstances } from "./calls.ts";
import type { RawConfig } from "./config-input.ts";
import { readContexts } from "./contexts.ts";
import { CtlError, exitCodes, usageError, worst } from "./errors.ts";
import { textOf } from "./foreign-text.ts";
import { type Io, jsonError, reportError, writeJson, writeJsonError } from "./io.ts";
import { findLocalDaemons } from "./local-daemons.ts";
import { checkNamed, chooseInstances, nameOf } from "./names.ts";
import { chooseTarget, isHere, lookAgain, type TargetOptions } from "./target.ts";

/** What commands share: common flags, the connection, and how an action ends. */

/** A command of `ctl`, in a file of its own that is loaded when it is asked for. */
export interface Verb {
  define(command: Command, cli: Cli): void;
}

export const addConnection = (command: Command): Command =>
  command
    .optionsGroup("Which daemon:")
    .option("--context <name>", "a context, 'local', or the directory of a daemon on this machine")
    .option("--url <address>", "its address; a name alone is at port 8001")
    .option(
      "--key <key>",
      "its key; '-' reads it from stdin. Others on this machine see a key given here: for trying out",
    )
    .optionsGroup("Options:");

export interface OutputOptions {
  json?: true;
  quiet?: true;
}

export const addJson = (command: Command, what: string): Command => command.option("--json", `${what}, as JSON`);

export const addQuiet = (command: Command): Command => command.option("-q, --quiet", "only ids");

export const addNames = (command: Command): Command =>
  command.argument("[names...]", "ids, aliases, or unique beginnings of either").option("-a, --all", "every instance");

export interface ConnectionOptions {
  context?: string;
  url?: string;
  key?: string;
}

export interface Named {
  api: Api;
  instances: ListedInstance[];
  /** All that the daemon has. */
  all: ListedInstance[];
  /** Of the names that stand for no instance; told already. */
  errors: CtlError[];
  /** One was asked for, and is printed alone; several are printed as an array. */
  single: boolean;
}

export interface Found<T> {
  instance: ListedInstance;
  name: string;
  answer: T;
}

/** What became of the instances that were named, in their order: an answer each, or why there is none. */
export interface Outcome<T> {
  results: (Found<T> | { error: unknown })[];
  single: boolean;
  code: number;
}

export class Cli {
  /** Lines are printed until an interrupt, which is then the usual end and no failure. */
  isStream = false;
  private stdinTaken: string | null = null;
  /** What the command ends with. */
  code: number = exitCodes.ok;
  /** What is still to do when somebody interrupts: put the terminal right, say what goes on. */
  onInterrupt: (() => void) | null = null;

  constructor(
    readonly io: Io,
    private readonly json = false,
  ) {}

  /** An action of commander out of a function that gives the exit code. What it throws is told by the caller. */
  action<A extends unknown[]>(run: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
    return async (...args) => {
      process.once("SIGINT", () => {
        this.onInterrupt?.();
        const isTold = this.json && !this.isStream;
        if (isTold) writeJsonError(this.io, new CtlError(exitCodes.interrupted, "interrupted"));
        void (isTold ? this.io.stdout.drained() : Promise.resolve()).then(() => process.exit(exitCodes.interrupted));
      });
      this.code = await run(...args);
    };
  }

  /** Everything on stdin, which one thing alone may ask for. */
  async readStdin(asker: string): Promise<Uint8Array> {
    if (this.stdinTaken !== null)
      throw usageError(`${this.stdinTaken} and ${asker} both read stdin: give one of them otherwise`);
    this.stdinTaken = asker;
    if (this.io.stdin.terminal) this.io.say(`${asker} reads what you type; end it with Ctrl-D on a line of its own`);
    try {
      return await Bun.stdin.bytes();
    } catch (error) {
      throw new CtlError(exitCodes.failure, `${asker}: cannot read: ${systemProblem(error, "stdin")}`);
    }
  }

  async connect(command: Command): Promise<Api> {
    const target = await chooseTarget(await this.targetOptions(command), this.io);
    return new Api(target, (before) => lookAgain(before, this.io));
  }

  /**
   * A config with paths that mean the same to the daemon.
   * @param file the file that it comes from; null for the command line
   */
  async withPaths(api: Api, config: RawConfig, file: string | null, before?: RawConfig): Promise<RawConfig> {
    const { cwd, home } = this.io;
    if (!(await isHere(api.target, this.io))) return config;
    const { withAbsolutePaths } = await import("./model-paths.ts");
    const folder = file === null || file === "-" ? cwd : dirname(resolve(cwd, file));
    return withAbsolutePaths(config, { home, folder, onlyExisting: file !== null }, before);
  }

  /** `--context`, `--url` and `--key`, before the verb or behind it. */
  async targetOptions(command: Command): Promise<TargetOptions> {
    const { context, url, key } = command.optsWithGlobals<ConnectionOptions>();
    return { context, url, key: key === "-" ? await this.readKey() : key };
  }

  /** The instances that the command line names. Names that cannot be resolved are told, and the others are done. */
  async named(command: Command, names: readonly string[], everything: boolean, signal?: AbortSignal): Promise<Named> {
    checkNamed(names, everything);
    const api = await this.connect(command);
    const { value: all } = await listInstances(api, { signal });
    const { instances, errors } = chooseInstances(names, everything, all);
    const [only] = errors;
    if (only !== undefined && names.length === 1) throw only;
    for (const error of errors) reportError(this.io, error);
    if (everything && all.length === 0) this.io.say("there are no instances");
    return { api, instances, all, errors, single: !everything && names.length === 1 };
  }

  /**
   * Of several daemons on this machine, the one of the current folder is not to lose everything unasked.
   * @throws usage error where none of them is named
   */
  async refuseUnnamedDaemon(command: Command): Promise<void> {
    const { context, url } = command.optsWithGlobals<ConnectionOptions>();
    const isNamed = context !== undefined || url !== undefined || Boolean(this.io.env.SOLAR_HOST_URL);
    if (isNamed || readContexts(this.io).current !== null) return;
    const found = await findLocalDaemons(this.io);
    if (found.length < 2) return;
    throw usageError(
      "several daemons run on this machine: say whose instances are meant",
      ...found.map((daemon) => `${daemon.directory}  ${daemon.url}`),
      `for example: solar-host ctl ${command.name()} --all --context .`,
    );
  }

  /** The same for verbs that only look: of one instance alone the name may be left out. */
  async lookedAt(command: Command, names: readonly string[], everything: boolean): Promise<Named> {
    if (names.length > 0 || everything) return await this.named(command, names, everything);
    const api = await this.connect(command);
    const { value: all } = await listInstances(api);
    if (all.length !== 1) checkNamed(names, everything);
    return { api, instances: all, all, errors: [], single: true };
  }

  /**
   * Does something with each instance at the same time; a failure of one is told and does not spoil the others.
   * @param jsonLines what is printed is a line of JSON each, a failure too
   */
  async each<T>(
    { instances, all, errors, single }: Named,
    run: (instance: ListedInstance, name: string) => Promise<T>,
    jsonLines = false,
  ): Promise<Outcome<T>> {
    const codes: number[] = errors.map(({ exitCode }) => exitCode);
    if (jsonLines) for (const error of errors) writeJsonError(this.io, error);
    const results = await Promise.all(
      instances.map(async (instance): Promise<Found<T> | { error: unknown }> => {
        const name = nameOf(instance, all);
        try {
          return { instance, name, answer: await run(instance, name) };
        } catch (error) {
          codes.push(reportError(this.io, error));
          if (jsonLines) writeJsonError(this.io, error);
          return { error };
        }
      }),
    );
    return { results: [...results, ...errors.map((error) => ({ error }))], single, code: worst(codes) };
  }

  /**
   * Prints an outcome: with --json what the API answered and the errors, with -q the ids, else what `print` makes of
   * it. Gives the exit code.
   */
  print<T extends { raw: unknown }>(
    outcome: Outcome<T>,
    { json, quiet }: OutputOptions,
    print: (found: Found<T>[]) => void = () => undefined,
  ): number {
    const found = outcome.results.flatMap((result) => ("error" in result ? [] : [result]));
    if (json) {
      const documents = outcome.results.map((one) => ("error" in one ? jsonError(one.error) : one.answer.raw));
      for (const document of outcome.single ? documents : [documents]) writeJson(this.io, document);
    } else if (quiet) for (const { instance } of found) this.io.write(`${instance.id}\n`);
    else if (found.length > 0) print(found);
    return outcome.code;
  }

  private async readKey(): Promise<string> {
    const given = this.io.stdin.terminal
      ? await (await import("./prompt.ts")).askSecret(this.io, "Key of the daemon (not shown): ")
      : textOf(await this.readStdin("--key -"), "--key -");
    const key = given.split("\n", 1)[0]?.trim() ?? "";
    if (key === "") throw usageError("--key - got no key", "for example: solar-host ctl ls --key - < key-file");
    return key;
  }
}
