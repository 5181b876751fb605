import type { Command } from "commander";
import { type ListedInstance, listedAnswer } from "../../contract/instance-facts.ts";
import { instancePath, operate } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { CtlError, exitCodes } from "../errors.ts";
import { asWord, nameOf } from "../names.ts";
import { isAtRest } from "../status.ts";

interface RmOptions extends OutputOptions {
  all?: true;
  force?: true;
  logs?: true;
  yes?: true;
}

const stillRuns = ({ status }: ListedInstance, name: string): CtlError =>
  new CtlError(exitCodes.failure, `${name} is ${status}, so it is kept`, [
    `stop it first: solar-host ctl stop ${asWord(name)}`,
    `or both at once: solar-host ctl rm --force ${asWord(name)}`,
  ]);

/** @throws CtlError where the user says no, who is asked on a terminal only */
const confirmed = async ({ io }: Cli, names: readonly string[], options: RmOptions): Promise<void> => {
  if (options.yes || options.force || !io.stdin.terminal || names.length === 0) return;
  const { confirm } = await import("../prompt.ts");
  const logs = options.logs ? "Their log files go too." : "Log files stay.";
  if (await confirm(io, `Delete ${names.join(", ")}? ${logs}`)) return;
  throw new CtlError(exitCodes.failure, "nothing was deleted");
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addNames(command), "what the API answers, an array for several")))
    .option("-f, --force", "a running one too: it is stopped first. Asks nothing")
    .option("--logs", "its log files too")
    .option("-y, --yes", "ask nothing")
    .addHelpText(
      "after",
      `
Log files stay without --logs; 'solar-host ctl logs prune' removes them later. It asks on a terminal only.

Examples:
  $ solar-host ctl rm llama
  $ solar-host ctl rm --force llama mistral
  $ solar-host ctl rm --logs llama`,
    )
    .action(
      cli.action(async (names: string[], options: RmOptions) => {
        if (options.all) await cli.refuseUnnamedDaemon(command);
        const named = await cli.named(command, names, options.all === true);
        const { api, all } = named;
        const isKept = ({ status }: ListedInstance): boolean => !options.force && !isAtRest(status);
        const going = named.instances.filter((instance) => !isKept(instance));
        await confirmed(
          cli,
          going.map((instance) => nameOf(instance, all)),
          options,
        );
        const outcome = await cli.each(named, async (instance, name) => {
          if (isKept(instance)) throw stillRuns(instance, name);
          if (!isAtRest(instance.status)) await operate(api, instance.id, "stop");
          const answer = await api.request(instancePath(instance.id), listedAnswer, {
            method: "DELETE",
            query: { logs: options.logs ? "true" : undefined },
          });
          if (!options.quiet && !options.json)
            cli.io.say(`${name} is deleted${options.logs ? ", with its log files" : "; its log files stay"}`);
          return answer;
        });
        return cli.print(outcome, options);
      }),
    );
};
