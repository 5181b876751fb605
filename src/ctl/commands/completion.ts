import { Argument, type Command } from "commander";
import type { Cli } from "../cli.ts";
import { completionScripts, type Shell } from "../completion-scripts.ts";

export const define = (command: Command, cli: Cli): void => {
  command
    .addArgument(new Argument("<shell>").choices(Object.keys(completionScripts)))
    .addHelpText(
      "after",
      `
Prints the script for a shell. It completes commands, flags, contexts and the names of instances.

Examples:
  $ source <(solar-host ctl completion bash)                                    in ~/.bashrc
  $ source <(solar-host ctl completion zsh)                                     in ~/.zshrc
  $ solar-host ctl completion fish > ~/.config/fish/completions/solar-host.fish`,
    )
    .action(
      cli.action(async (shell: Shell) => {
        cli.io.write(completionScripts[shell]);
        return 0;
      }),
    );
};
