// First of all: see there.
import "./one-shot-validation.ts";
import { homedir } from "node:os";
import { type Command, Option } from "commander";
import { addConnection, Cli } from "./cli.ts";
import { processIo, reportError, writeJsonError } from "./io.ts";
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

/** @param words what stands behind `ctl` on the command line */
export const addVerbs = async (ctl: Command, words: readonly string[]): Promise<void> => {
  const io = processIo(process.env.HOME || homedir());
  if (words[0] === COMPLETE) {
    // The words to complete may be any flag: they are none of ours.
    const { complete } = await import("./complete.ts");
    io.write(await complete(io, words.slice(1)));
    await io.stdout.drained();
    process.exit(0);
  }
  addConnection(ctl).addHelpText("after", HELP);
  try {
    refuseStrayVerb(words);
  } catch (error) {
    if (words.includes("--json")) writeJsonError(io, error);
    await io.stdout.drained();
    process.exit(reportError(io, error));
  }
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
    define(command, new Cli(io));
  }
};
