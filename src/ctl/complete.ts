import { Command, type Option } from "commander";
import type { ListedInstance } from "../contract/instance-facts.ts";
import { Api } from "./api.ts";
import { listInstances } from "./calls.ts";
import { addConnection, Cli } from "./cli.ts";
import { LOCAL, readContexts } from "./contexts.ts";
import type { Io } from "./io.ts";
import { oneLine } from "./table.ts";
import { chooseTarget } from "./target.ts";
import { verbIn, verbs } from "./verbs.ts";

/** What may stand where the cursor is: asked by the completion scripts at each press of the tab key. */

export interface Candidate {
  value: string;
  description?: string;
}

/** The shell completes file names itself. */
export const FILES = ":files";

/** Longer than a daemon in the same room takes, shorter than a person waits for a tab. */
const PATIENCE_MS = 1500;

type Completion = Candidate[] | typeof FILES;

const words = (values: readonly string[]): Candidate[] => values.map((value) => ({ value }));

const optionsOf = (command: Command): Candidate[] =>
  command.options
    .filter(({ hidden }) => !hidden)
    .flatMap(({ long, description }) => (long ? [{ value: long, description }] : []))
    .concat([{ value: "--help", description: "display help for command" }]);

const namedContexts = (io: Io): Candidate[] =>
  Object.entries(readContexts(io).contexts).map(([value, { url }]) => ({ value, description: url }));

const contextNames = (io: Io): Candidate[] => [
  ...namedContexts(io),
  { value: LOCAL, description: "the daemon on this machine" },
];

/** A flag whose value may be a path: of `<file>`, or of `<id|folder>`. */
const PATH = /<file>|folder>/;

/** A flag that means yes when it stands alone. */
const isYesOrNo = (flags: string): boolean => flags.includes("true|false");

const valuesOf = async (
  io: Io,
  typed: readonly string[],
  { long, argChoices, flags }: Option,
  begun: string,
): Promise<Completion> => {
  if (long === "--context") return contextNames(io);
  if (long === "--set") return await assignments(io, typed, begun);
  if (argChoices !== undefined) return words(argChoices);
  return PATH.test(flags) ? FILES : isYesOrNo(flags) ? words(["true", "false"]) : [];
};

/** `name=value` of a config: the fields that the named instances have, those of every backend where none is known. */
const assignments = async (io: Io, typed: readonly string[], begun: string): Promise<Completion> => {
  const [{ fieldsOf }, { backendTypes }, all] = await Promise.all([
    import("./config-flags.ts"),
    import("../contract/config.ts"),
    instances(io, typed).catch(() => []),
  ]);
  const isNamed = ({ id, config: { alias } }: ListedInstance): boolean =>
    typed.some((word) => word === "--all" || word === "-a" || word === alias || (word !== "" && id.startsWith(word)));
  const named = new Set(all.filter(isNamed).map(({ config }) => config.backend_type));
  const known = backendTypes.filter((backend) => named.has(backend));
  const fields = new Map(
    (known.length > 0 ? known : backendTypes).flatMap(fieldsOf).map((field) => [field.name, field]),
  );
  const name = /^([\w-]+)=/.exec(begun)?.[1];
  if (name === undefined)
    return [...fields.values()].map((field) => ({ value: `${field.name}=`, description: field.description }));
  const field = fields.get(name.replaceAll("-", "_"));
  if (field === undefined) return name === "backend_type" ? words(backendTypes.map((one) => `${name}=${one}`)) : [];
  if (field.names !== null) return FILES;
  return words((field.kind === "flag" ? ["true", "false"] : field.choices).map((value) => `${name}=${value}`));
};

/** What is to stand behind `--flag=`. */
const afterEquals = async (
  io: Io,
  typed: readonly string[],
  options: readonly Option[],
  begun: string,
): Promise<Completion | null> => {
  const flag = /^(--[\w-]+)=/.exec(begun)?.[1];
  const option = options.find(({ long }) => flag !== undefined && long === flag);
  if (option === undefined) return null;
  const values = await valuesOf(io, typed, option, begun.slice(begun.indexOf("=") + 1));
  return values === FILES ? FILES : values.map(({ value, ...rest }) => ({ value: `${flag}=${value}`, ...rest }));
};

const flagValue = (typed: readonly string[], flag: string): string | undefined => {
  const at = typed.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at < 0) return undefined;
  return typed[at] === flag ? typed[at + 1] : typed[at]?.slice(flag.length + 1);
};

/** Of the daemon that the typed words mean. */
const instances = async (io: Io, typed: readonly string[]): Promise<ListedInstance[]> => {
  const key = flagValue(typed, "--key");
  const options = {
    context: flagValue(typed, "--context"),
    url: flagValue(typed, "--url"),
    key: key === "-" ? undefined : key,
  };
  const api = new Api(await chooseTarget(options, io));
  return (await listInstances(api, { timeoutMs: PATIENCE_MS })).value;
};

/** Aliases, and ids where they are begun or where aliases are shared. */
const instanceNames = async (io: Io, typed: readonly string[], begun: string): Promise<Candidate[]> => {
  const all = await instances(io, typed);
  const left = all.filter(({ id, config }) => !typed.includes(id) && !typed.includes(config.alias));
  const named = left.map(({ id, config: { alias }, status }): Candidate => {
    const shared = all.filter((other) => other.config.alias === alias).length > 1;
    return { value: shared ? id : alias, description: shared ? `${alias}, ${status}` : status };
  });
  if (begun === "" || named.some(({ value }) => value.startsWith(begun))) return named;
  return left.map(({ id, config: { alias }, status }) => ({ value: id, description: `${alias}, ${status}` }));
};

/** The command behind `ctl`, `ctl` itself before there is one. */
const commandIn = async (io: Io, typed: readonly string[]): Promise<Command> => {
  const entry = verbIn(typed);
  if (entry === undefined) return addConnection(new Command("ctl"));
  const command = new Command(entry.name);
  (await entry.load()).define(command, new Cli(io));
  return command.commands.find((one) => typed.includes(one.name())) ?? command;
};

/** What stands by itself: a name of something, or the command that follows. */
const positional = async (io: Io, command: Command, typed: readonly string[], begun: string): Promise<Completion> => {
  if (command.name() === "ctl") return verbs.map(({ name, summary }) => ({ value: name, description: summary }));
  const [argument] = command.registeredArguments;
  if (argument?.argChoices !== undefined) return words(argument.argChoices);
  if (command.parent?.name() === "context") {
    if (command.name() === "use") return contextNames(io);
    return command.name() === "rm" ? namedContexts(io).filter(({ value }) => !typed.includes(value)) : [];
  }
  if (argument?.name() === "names") return await instanceNames(io, typed, begun);
  return command.commands.map((inner) => ({ value: inner.name(), description: inner.description() }));
};

/** @param typed the words behind `solar-host`, the one that is begun last */
const candidates = async (io: Io, typed: readonly string[]): Promise<Completion> => {
  const begun = typed.at(-1) ?? "";
  const [program, ...before] = typed.slice(0, -1);
  if (program === undefined) {
    return [
      { value: "serve", description: "run the daemon" },
      { value: "ctl", description: "the client" },
    ];
  }
  if (program !== "serve" && program !== "ctl") return [];
  const command =
    program === "ctl" ? await commandIn(io, before) : (await import("./complete-serve.ts")).serveCommand();
  const last = before.at(-1) ?? "";
  const option = command.options.find(({ long, short }) => last !== "" && (long === last || short === last));
  if (option?.required || (option?.optional && !begun.startsWith("-") && isYesOrNo(option.flags)))
    return await valuesOf(io, before, option, begun);
  const valued = await afterEquals(io, before, command.options, begun);
  if (valued !== null) return valued;
  if (begun.startsWith("-")) return optionsOf(command);
  return program === "ctl" ? await positional(io, command, before, begun) : [];
};

/** Lines for the scripts: `value<tab>description`, or {@link FILES}. A daemon that is not there has no names. */
export const complete = async (io: Io, typed: readonly string[]): Promise<string> => {
  let found: Completion;
  try {
    found = await candidates(io, typed);
  } catch {
    return "";
  }
  if (found === FILES) return `${FILES}\n`;
  const begun = typed.at(-1) ?? "";
  return found
    .filter(({ value }) => value.startsWith(begun) && value === oneLine(value))
    .map(({ value, description }) => `${value}\t${oneLine(description ?? "")}\n`)
    .join("");
};
