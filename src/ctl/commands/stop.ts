import type { Command } from "commander";
import { operate } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { CtlError, exitCodes } from "../errors.ts";
import { asWord } from "../names.ts";
import { Progress } from "../progress.ts";
import { deadlineOf } from "../waiting.ts";

interface StopOptions extends OutputOptions {
  all?: true;
  timeout?: string;
}

const tooLate = (name: string): CtlError =>
  new CtlError(exitCodes.timeout, `the time is over: ${name} is still stopping`, [
    `wait for it: solar-host ctl wait ${asWord(name)} --for stopped`,
    `or kill it: solar-host ctl stop ${asWord(name)} (a second stop does not wait)`,
  ]);

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addNames(command), "what the API answers, an array for several")))
    .option("--timeout <time>", "wait at most so long (30s, 5m); exit code 124 when it is over")
    .addHelpText(
      "after",
      `
Stopped means that nothing of it is left. A second stop while the first one waits kills it at once.

Examples:
  $ solar-host ctl stop llama
  $ solar-host ctl stop --all`,
    )
    .action(
      cli.action(async (names: string[], options: StopOptions) => {
        if (options.all) await cli.refuseUnnamedDaemon(command);
        const { signal } = deadlineOf(options.timeout);
        const named = await cli.named(command, names, options.all === true, signal);
        const progress = new Progress(cli.io, options);
        cli.onInterrupt = () => {
          progress.leave();
          cli.io.say("interrupted; the daemon goes on stopping");
        };
        const outcome = await cli.each(named, async (instance, name) => {
          if (cli.io.stderr.terminal) progress.show(name, { ...instance, status: "stopping" });
          try {
            const answer = await operate(named.api, instance.id, "stop", undefined, signal);
            progress.end(name, `${name} is stopped`);
            return answer;
          } catch (error) {
            progress.end(name, null);
            throw signal?.aborted === true ? tooLate(name) : error;
          }
        });
        return cli.print(outcome, options);
      }),
    );
};
