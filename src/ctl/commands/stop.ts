import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { operate } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { deadlineIn, NEVER } from "../deadline.ts";
import { CtlError, exitCodes, worst } from "../errors.ts";
import { writeAnswers } from "../io.ts";
import { asWord, nameOf } from "../names.ts";
import { Progress } from "../progress.ts";
import { parseDuration } from "../time.ts";

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
        if (options.all) cli.refuseUnnamedDaemon(command);
        const { timeout } = options;
        const { signal } = timeout === undefined ? NEVER : deadlineIn(parseDuration(timeout, "--timeout"));
        const { api, instances, all, code } = await cli.named(command, names, options.all === true, signal);
        const progress = new Progress(cli.io, options.quiet === true || options.json === true);
        cli.onInterrupt = () => {
          progress.leave();
          cli.io.say("interrupted; the daemon goes on stopping");
        };
        const stopped = new Map<string, { raw: unknown; instance: ListedInstance }>();
        const end = await cli.each(instances, async (instance) => {
          const name = nameOf(instance, all);
          if (cli.io.stderr.terminal) progress.show(name, { ...instance, status: "stopping" });
          try {
            const { raw, value } = await operate(api, instance.id, "stop", undefined, signal);
            stopped.set(instance.id, { raw, instance: value.instance });
            progress.end(name, `${name} is stopped`);
            return exitCodes.ok;
          } catch (error) {
            progress.end(name, null);
            throw signal?.aborted === true ? tooLate(name) : error;
          }
        });
        const answers = instances.flatMap(({ id }) => stopped.get(id) ?? []);
        writeAnswers(cli.io, options, names.length === 1, answers);
        return worst([code, end]);
      }),
    );
};
