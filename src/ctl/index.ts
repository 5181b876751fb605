// First of all: see there.
import "./one-shot-validation.ts";
import { homedir } from "node:os";
import { type Command, CommanderError, Option } from "commander";
import { CommandLineError } from "../command-line.ts";
import { addConnection, Cli } from "./cli.ts";
import { exitCodes, usageError } from "./errors.ts";
import { type Io, processIo, reportError, writeJsonError } from "./io.ts";
import { refuseStrayVerb, verbIn, verbs } from "./verbs.ts";

/** The client: puts the verbs under `solar-host ctl`, and loads the one that is asked for. */

/** What the completion scripts call. */
const COMPLETE = "__complete";

const HELP = `
An instance is named by its id, its alias, or any unique beginning of either.

Without --context and --url, the daemon is: SOLAR_HOST_URL with SOLAR_HOST_API_KEY, else the context in
use, else the daemon on this machine, which is found with its key from any directory.

Times are seconds, or 30s, 5m, 1h30m.

Exit codes (over several instances or hosts, the highest):
  0    done                              4    no such instance or context
  1    failed                            5    the daemon cannot be reached
  2    wrong usage, an ambiguous name,   6    the daemon refused the key
       values that the daemon refuses    124  the time is over
  3    the instance is not running       130  interrupted

Examples:
  $ solar-host ctl ls
  $ solar-host ctl create llamacpp --model /models/llama-3-8b.gguf --alias llama-3:8b --start --wait
  $ solar-host ctl logs -f llama
  $ solar-host ctl context add gpu1 http://gpu1:8001 --key - --use < key-file
  $ solar-host ctl ls --all-contexts
  $ solar-host ctl <command> --help`;

const addVerbs = async (ctl: Command, words: readonly string[], cli: Cli): Promise<void> => {
  addConnection(ctl).addHelpText("after", HELP);
  // `ctl --json ls` is `ctl ls --json`: the flag goes on to the verb, which knows what it prints.
  ctl.addOption(new Option("--json", "print JSON, where the command can").hideHelp());
  ctl.hook("preAction", (_, action) => {
    if (ctl.opts().json === true) action.setOptionValue("json", true);
  });
  const asked = verbIn(words);
  for (const entry of verbs) {
    const command = ctl.command(entry.name).description(entry.summary);
    if (entry.alias !== undefined) command.alias(entry.alias);
    if (entry !== asked) continue;
    const { define } = await entry.load();
    define(command, cli);
  }
};

/** Whether a program reads what is printed; asked of the words, since they may be what is wrong. */
const wantsJson = (words: readonly string[]): boolean =>
  /(?:^| )(?:--json|(?:-o|--output)[ =]?json)(?: |$)/.test(words.join(" "));

/** What ended a command, for people and for programs; gives the exit code. */
const report = (io: Io, error: unknown, json: boolean): number => {
  // Commander has shown a help already; a command line that is only a part of one gets it as an error.
  const isHelp = error instanceof CommanderError && !(error instanceof CommandLineError);
  if (isHelp && error.exitCode === 0) return exitCodes.ok;
  if (isHelp && json) writeJsonError(io, usageError("a command is missing"));
  if (isHelp) return exitCodes.usage;
  const told = error instanceof CommandLineError ? usageError(error.message, ...error.hints) : error;
  if (json) writeJsonError(io, told);
  return reportError(io, told);
};

/** @param argv the whole command line, in which `ctl` is the first word or, behind `help`, the second */
export const runCtl = async (ctl: Command, argv: readonly string[]): Promise<never> => {
  const io = processIo(process.env.HOME || homedir());
  const words = argv.slice(argv.indexOf("ctl", 2) + 1);
  const json = wantsJson(words);
  const cli = new Cli(io, json);
  let code: number;
  try {
    if (words[0] === COMPLETE) {
      const { complete } = await import("./complete.ts");
      // The words to complete may be any flag: they are none of ours.
      io.write(await complete(io, words.slice(1)));
    } else {
      refuseStrayVerb(words);
      await addVerbs(ctl, words, cli);
      await ctl.parent?.parseAsync(argv);
    }
    code = cli.code;
  } catch (error) {
    code = report(io, error, json);
  }
  await io.stdout.drained();
  process.exit(code);
};
