import { type Argument, Command, CommanderError, type Option } from "commander";

/** A command line, and what is wrong with one: in our words, since those of the library are not for users. */

export const USAGE_ERROR = 2;

export class CommandLineError extends CommanderError {
  constructor(
    message: string,
    /** Lines that say what would be right. */
    readonly hints: readonly string[],
  ) {
    super(USAGE_ERROR, "usage", message);
  }
}

/** How many letters are to be put in, taken out, changed or swapped to make one word of another. */
const distance = (a: string, b: string): number => {
  const rows = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= a.length; row++) {
    const cells = [row];
    rows.push(cells);
    for (let column = 1; column <= b.length; column++) {
      const changed = at(row - 1, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const isSwap = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const swapped = isSwap ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY;
      cells.push(Math.min(at(row - 1, column) + 1, (cells[column - 1] ?? 0) + 1, changed, swapped));
    }
  }
  return at(a.length, b.length);
};

/** The name that is most likely meant by a word: one that it begins, or that differs in a letter or two. */
export const nearest = (word: string, names: readonly string[]): string | undefined => {
  const letters = word.replace(/^-+/, "");
  if (letters.length < 2) return undefined;
  const begun = names.find((name) => name.startsWith(word) || word.startsWith(name));
  const near = names.map((name) => ({ name, letters: distance(word, name) })).sort((a, b) => a.letters - b.letters)[0];
  return begun ?? (near !== undefined && near.letters <= (letters.length < 5 ? 1 : 2) ? near.name : undefined);
};

const pathOf = (command: Command): string[] =>
  command.parent === null ? [command.name()] : [...pathOf(command.parent), command.name()];

const rootOf = (command: Command): Command => (command.parent === null ? command : rootOf(command.parent));

/** As people call it: `context add`, `serve`. */
const nameOf = (command: Command): string =>
  pathOf(command)
    .slice(1)
    .filter((name, at) => at > 0 || name !== "ctl")
    .join(" ") || command.name();

const oneOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

const argumentText = (argument: Argument): string => {
  const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${name}>` : `[${name}]`;
};

const suggestion = (word: string, names: readonly string[]): string[] => {
  const meant = nearest(word, names);
  return meant === undefined ? [] : [`do you mean '${meant}'?`];
};

const optionsOf = (command: Command | null): readonly Option[] =>
  command === null ? [] : [...command.options, ...optionsOf(command.parent)];

const longNames = (command: Command): string[] => [
  "--help",
  ...optionsOf(command).flatMap(({ long, hidden }) => (long && !hidden ? [long] : [])),
];

/** What stands between the first and the last quote of one of commander's sentences: what the user wrote. */
const quoted = (sentence: string): string => sentence.slice(sentence.indexOf("'") + 1, sentence.lastIndexOf("'"));

const unknownOption = (command: Command, given: string): CommandLineError => {
  const [flag = given] = given.split("=", 1);
  const isKnown = optionsOf(command).some(({ long }) => long === flag);
  // What stands behind it may be a key, and is not repeated.
  if (isKnown) return new CommandLineError(`'${flag}' of '${nameOf(command)}' takes no value`, []);
  return new CommandLineError(
    `'${nameOf(command)}' has no option '${flag}'`,
    flag.startsWith("--") ? suggestion(flag, longNames(command)) : [],
  );
};

const tooManyArguments = (command: Command): CommandLineError => {
  const known = command.registeredArguments;
  const [first = ""] = command.args.slice(known.length);
  const takes = known.length === 0 ? "no argument" : `${known.map(argumentText).join(" ")} alone`;
  return new CommandLineError(`'${nameOf(command)}' takes ${takes}: '${first}' is too much`, []);
};

const missingArgument = (command: Command): CommandLineError => {
  const missing = command.registeredArguments.find(({ required }, at) => required && command.args[at] === undefined);
  return new CommandLineError(`'${nameOf(command)}' needs ${missing === undefined ? "more" : argumentText(missing)}`, [
    `write: ${pathOf(command).join(" ")} ${command.registeredArguments.map(argumentText).join(" ")}`,
  ]);
};

/** The verb behind `ctl`, which reads the flags that it has itself before it looks for a verb. */
const verbOf = (command: Command): Command => {
  const words = (rootOf(command) as Command & { rawArgs: string[] }).rawArgs;
  const inner = command.commands.find((one) => [one.name(), ...one.aliases()].some((name) => words.includes(name)));
  return inner === undefined ? command : verbOf(inner);
};

const missingValue = (command: Command, sentence: string): CommandLineError => {
  const option = optionsOf(command).find(({ flags }) => quoted(sentence) === flags);
  const name = option?.long ?? quoted(sentence);
  return new CommandLineError(`'${name}' of '${nameOf(command)}' needs a value`, [
    option?.argChoices === undefined ? `write: ${quoted(sentence)}` : `it takes ${oneOf(option.argChoices)}`,
  ]);
};

const wrongChoice = (command: Command, sentence: string): CommandLineError => {
  const words = quoted(sentence);
  const option = optionsOf(command).find(({ flags }) => words.startsWith(`${flags}' argument '`));
  const argument = command.registeredArguments.find(({ argChoices }) => argChoices !== undefined);
  const name = option === undefined ? `'${nameOf(command)}'` : `'${option.long}' of '${nameOf(command)}'`;
  const value =
    option === undefined
      ? words.slice(0, words.lastIndexOf("' is invalid"))
      : words.slice(`${option.flags}' argument '`.length);
  return new CommandLineError(`${name} takes ${oneOf((option ?? argument)?.argChoices ?? [])}, and not '${value}'`, []);
};

const unknownCommand = (command: Command): CommandLineError => {
  const [word = ""] = command.args;
  const names = command.commands.map((inner) => inner.name());
  return new CommandLineError(`'${nameOf(command)}' has no command '${word}'`, [
    ...suggestion(word, names),
    `it has: ${names.join(", ")}`,
  ]);
};

const inOurWords = (command: Command, code: string | undefined, sentence: string): CommandLineError => {
  switch (code) {
    case "commander.unknownOption":
      return unknownOption(command, quoted(sentence));
    case "commander.excessArguments":
      return tooManyArguments(command);
    case "commander.missingArgument":
      return missingArgument(command);
    case "commander.optionMissingArgument":
      return missingValue(command, sentence);
    case "commander.invalidArgument":
      return wrongChoice(command, sentence);
    case "commander.unknownCommand":
      return unknownCommand(command);
    default:
      return new CommandLineError(sentence, []);
  }
};

/** A command whose errors, and those of all commands below it, are {@link CommandLineError}s; it prints none. */
export class CommandLine extends Command {
  constructor(name?: string) {
    super(name);
    this.showSuggestionAfterError(false).exitOverride();
  }

  override createCommand(name?: string): Command {
    return new CommandLine(name);
  }

  override error(sentence: string, { code }: { code?: string } = {}): never {
    const command = code === "commander.optionMissingArgument" ? verbOf(this) : this;
    const { message, hints } = inOurWords(command, code, sentence);
    throw new CommandLineError(message, [...hints, `see: ${pathOf(command).join(" ")} --help`]);
  }
}
