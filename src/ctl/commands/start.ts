import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { addStart } from "../starting.ts";

export const define = (command: Command, cli: Cli): void => {
  addStart(
    command,
    cli,
    "start",
    `
Without --wait it is left to itself when it loads for more than 20 s. On failure the reason and the last
lines of the log are shown.

Examples:
  $ solar-host ctl start llama --wait
  $ solar-host ctl start llama mistral --timeout 5m
  $ solar-host ctl start --all`,
  );
};
