import type { Command } from "commander";
import { addConnection, addJson, addNames, addQuiet, type Cli } from "../cli.ts";
import { addPatience, patienceOf, type StartOptions, startAll } from "../starting.ts";

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addPatience(addNames(command)), "what the API answers, an array for several")))
    .addHelpText(
      "after",
      `
Without --wait it is left to itself when it loads for more than 20 s. On failure the reason and the last
lines of the log are shown.

Examples:
  $ solar-host ctl start llama --wait
  $ solar-host ctl start llama mistral --timeout 5m
  $ solar-host ctl start --all`,
    )
    .action(
      cli.action(async (names: string[], options: StartOptions & { all?: true }) => {
        const patience = patienceOf(options);
        const named = await cli.named(command, names, options.all === true, patience.deadline.signal);
        return cli.print(await startAll(cli, named, "start", options, patience), options);
      }),
    );
};
