import type { Command } from "commander";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { worst } from "../errors.ts";
import { writeAnswers } from "../io.ts";
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
      cli.action(async (names: string[], options: OutputOptions & StartOptions & { all?: true }) => {
        if (options.all) cli.refuseUnnamedDaemon(command);
        const patience = patienceOf(options);
        const { signal } = patience.deadline;
        const { api, instances, all, code } = await cli.named(command, names, options.all === true, signal);
        const done = await startAll(cli, api, instances, all, "restart", options, patience);
        writeAnswers(cli.io, options, names.length === 1, done.started);
        return worst([code, done.code]);
      }),
    );
};
