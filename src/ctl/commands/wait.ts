import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { Progress } from "../progress.ts";
import { isAtRest } from "../status.ts";
import { awaitInstance, deadlineOf, failed, withLastLines } from "../waiting.ts";

interface WaitOptions extends OutputOptions {
  all?: true;
  for: "running" | "stopped";
  timeout?: string;
}

/** One that failed has stopped, but will not run unless it is started again. */
const isThere = (name: string, wanted: WaitOptions["for"], instance: ListedInstance): boolean => {
  if (wanted === "stopped") return isAtRest(instance.status);
  if (instance.status === "failed") throw failed(name, instance);
  return instance.status === "running";
};

export const define = (command: Command, cli: Cli): void => {
  addNames(command).addOption(
    command.createOption("--for <status>", "what to wait for").choices(["running", "stopped"]).default("running"),
  );
  addConnection(addQuiet(addJson(command, "the instances as they became, an array for several")))
    .option("--timeout <time>", "wait at most so long (30s, 5m); exit code 124 when it is over")
    .addHelpText(
      "after",
      `
An instance that failed counts as stopped; waiting for it to run ends with exit code 1 and the reason.
A daemon that restarts meanwhile is waited for.

Examples:
  $ solar-host ctl wait llama --for running --timeout 10m
  $ solar-host ctl wait --all --for stopped`,
    )
    .action(
      cli.action(async (names: string[], options: WaitOptions) => {
        const deadline = deadlineOf(options.timeout);
        const named = await cli.named(command, names, options.all === true, deadline.signal);
        const progress = new Progress(cli.io, options);
        cli.onInterrupt = () => progress.leave();
        const outcome = await cli.each(named, async ({ id }, name) => {
          const done = (now: ListedInstance): boolean => isThere(name, options.for, now);
          try {
            const answer = await awaitInstance(named.api, id, name, done, deadline, progress);
            progress.end(name, cli.io.stderr.terminal ? `${name} is ${answer.value.status}` : null);
            return answer;
          } catch (error) {
            progress.end(name, null);
            throw await withLastLines(named.api, id, name, error);
          }
        });
        return cli.print(outcome, options);
      }),
    );
};
