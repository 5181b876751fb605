import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import type { Api } from "../api.ts";
import { deleteInstance, operate } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { CtlError, exitCodes, worst } from "../errors.ts";
import { writeAnswers } from "../io.ts";
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

const mayDelete = async (cli: Cli, names: readonly string[], options: RmOptions): Promise<boolean> => {
  if (options.yes || options.force || !cli.io.stdin.terminal || names.length === 0) return true;
  const { confirm } = await import("../prompt.ts");
  const logs = options.logs ? "Their log files go too." : "Log files stay.";
  return await confirm(cli.io, `Delete ${names.join(", ")}? ${logs}`);
};

const remove = async (api: Api, instance: ListedInstance, withLogs: boolean) => {
  if (!isAtRest(instance.status)) await operate(api, instance.id, "stop");
  return await deleteInstance(api, instance.id, withLogs);
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
        if (options.all) cli.refuseUnnamedDaemon(command);
        const { io } = cli;
        const { api, instances, all, code } = await cli.named(command, names, options.all === true);
        const doable = instances.filter(({ status }) => options.force || isAtRest(status));
        const kept = await cli.each(
          instances.filter((instance) => !doable.includes(instance)),
          async (instance) => {
            throw stillRuns(instance, nameOf(instance, all));
          },
        );
        if (
          !(await mayDelete(
            cli,
            doable.map((instance) => nameOf(instance, all)),
            options,
          ))
        ) {
          io.say("nothing was deleted");
          return worst([code, kept, exitCodes.failure]);
        }
        const removed = new Map<string, { raw: unknown; instance: ListedInstance }>();
        const end = await cli.each(doable, async (instance) => {
          const { raw, value } = await remove(api, instance, options.logs === true);
          removed.set(instance.id, { raw, instance: value.instance });
          if (!options.quiet && !options.json)
            io.say(
              `${nameOf(instance, all)} is deleted${options.logs ? ", with its log files" : "; its log files stay"}`,
            );
          return exitCodes.ok;
        });
        const answers = doable.flatMap(({ id }) => removed.get(id) ?? []);
        writeAnswers(io, options, names.length === 1, answers);
        return worst([code, kept, end]);
      }),
    );
};
