import type { ListedInstance } from "../contract/instance-facts.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";

/** What an instance is called on the command line: its id, its alias, or any unique beginning of either. */

const SHORT = 8;

export const shortId = (id: string): string => id.slice(0, SHORT);

/** What people may call it: its alias, or the id's beginning where another has the same alias. */
export const nameOf = (instance: ListedInstance, all: readonly ListedInstance[]): string => {
  const { alias } = instance.config;
  const others = all.filter(({ id }) => id !== instance.id);
  if (alias !== "" && others.every((other) => other.config.alias !== alias && other.id !== alias)) return alias;
  const short = shortId(instance.id);
  const isTaken = others.some(({ id, config }) => id.startsWith(short) || config.alias === short);
  return isTaken ? instance.id : short;
};

/** @throws CtlError where another has this alias: a name that two have names none of them */
export const refuseUsedAlias = (alias: unknown, others: readonly ListedInstance[]): void => {
  const holders = others.filter(({ config }) => config.alias === alias);
  if (holders.length === 0) return;
  throw new CtlError(exitCodes.failure, `the alias '${alias}' is used already:`, [
    ...holders.map(candidateLine),
    "change that one with 'edit', delete it with 'rm', or use another alias; --force gives both the same",
  ]);
};

/** As a word that a shell takes as it is, for a command that is to be copied. */
export const asWord = (name: string): string =>
  /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;

const candidateLine = ({ id, config, status }: ListedInstance): string => `${id}  ${config.alias}  ${status}`;

const candidates = (name: string, all: readonly ListedInstance[]): ListedInstance[] => {
  const rules: ((instance: ListedInstance) => boolean)[] = [
    ({ id }) => id === name,
    ({ config }) => config.alias === name,
    ({ id, config }) => id.startsWith(name) || config.alias.startsWith(name),
  ];
  for (const rule of rules) {
    const found = all.filter(rule);
    if (found.length > 0) return found;
  }
  return [];
};

/** @throws CtlError: not found, or usage where several begin so */
export const resolveName = (name: string, all: readonly ListedInstance[]): ListedInstance => {
  const found = name === "" ? [] : candidates(name, all);
  const [first, ...others] = found;
  if (first === undefined) {
    throw new CtlError(exitCodes.notFound, `there is no instance '${name}'`, ["see what there is: solar-host ctl ls"]);
  }
  if (others.length === 0) return first;
  throw usageError(
    `'${name}' may be any of ${found.length}:`,
    ...found.map(candidateLine),
    found.every(({ config }) => config.alias === first.config.alias)
      ? "they have the same alias: give the id, or its beginning"
      : "give more of the name, or the id",
  );
};

export interface Chosen {
  instances: ListedInstance[];
  /** Names that stand for no instance, or for several; the others are still done. */
  errors: CtlError[];
}

/**
 * The instances that a command was given, each once, in the order given.
 * @throws usage error where nothing was named, or names and `--all`
 */
export const chooseInstances = (
  names: readonly string[],
  everything: boolean,
  all: readonly ListedInstance[],
): Chosen => {
  checkNamed(names, everything);
  if (everything) return { instances: [...all], errors: [] };
  const instances: ListedInstance[] = [];
  const errors: CtlError[] = [];
  for (const name of names) {
    try {
      const found = resolveName(name, all);
      if (!instances.includes(found)) instances.push(found);
    } catch (error) {
      if (!(error instanceof CtlError)) throw error;
      errors.push(error);
    }
  }
  return { instances, errors };
};

/** Before the daemon is asked: whether the command line names anything. */
export const checkNamed = (names: readonly string[], everything: boolean): void => {
  if (everything && names.length > 0) throw usageError("give names or --all, not both");
  if (!everything && names.length === 0)
    throw usageError("name an instance, or say --all", "see what there is: solar-host ctl ls");
};
