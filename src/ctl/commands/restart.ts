import type { Command } from "commander";
import { addConnection, addJson, addNames, addQuiet, type Cli } from "../cli.ts";
import { addPatience, patienceOf, type StartOptions, startAll } from "../starting.ts";

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addPatience(addNames(command)), "what the API answers, an array for several")))
    .addHelpText(
      "after",
      `
One that does not run is started.

Examples:
  $ solar-host ctl restart llama --wait
  $ solar-host ctl restart --all --timeout 10m`,
    )
    .action(
      cli.action(async (names: string[], options: StartOptions & { all?: true }) => {
        if (options.all) await cli.refuseUnnamedDaemon(command);
        const patience = patienceOf(options);
        const named = await cli.named(command, names, options.all === true, patience.deadline.signal);
        return cli.print(await startAll(cli, named, "restart", options, patience), options);
      }),
    );
};
