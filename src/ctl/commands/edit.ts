import type { Command } from "commander";
import type { Cli } from "../cli.ts";

export const define = (_command: Command, _cli: Cli): void => undefined;
