import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { addStart } from "../starting.ts";

export const define = (command: Command, cli: Cli): void => {
  addStart(
    command,
    cli,
    "restart",
    `
One that does not run is started.

Examples:
  $ solar-host ctl restart llama --wait
  $ solar-host ctl restart --all --timeout 10m`,
  );
};
