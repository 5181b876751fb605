import { type Command, Option } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { awaitInstance, failed, sayLost, withLastLines } from "../await-status.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { deadlineIn, NEVER } from "../deadline.ts";
import { CtlError, exitCodes, worst } from "../errors.ts";
import { writeJson } from "../io.ts";
import { nameOf } from "../names.ts";
import { Progress } from "../progress.ts";
import { isAtRest } from "../status.ts";
import { parseDuration } from "../time.ts";

interface WaitOptions extends OutputOptions {
  all?: true;
  for: "running" | "stopped";
  timeout?: string;
}

/** One that failed has stopped, but will not run unless somebody starts it. */
const isThere =
  (name: string, wanted: WaitOptions["for"]) =>
  (instance: ListedInstance): boolean => {
    if (wanted === "stopped") return isAtRest(instance.status);
    if (instance.status === "failed") throw failed(name, instance);
    return instance.status === "running";
  };

export const define = (command: Command, cli: Cli): void => {
  addNames(command).addOption(
    new Option("--for <status>", "what to wait for").choices(["running", "stopped"]).default("running"),
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
        const { io } = cli;
        const { timeout } = options;
        const deadline = timeout === undefined ? NEVER : deadlineIn(parseDuration(timeout, "--timeout"));
        const { api, instances, all, code } = await cli.named(command, names, options.all === true, deadline.signal);
        const progress = new Progress(io, options.quiet === true || options.json === true);
        cli.onInterrupt = () => progress.leave();
        const onLost = sayLost((text) => progress.note(text));
        const found = new Map<string, { raw: unknown; value: ListedInstance }>();
        const end = await cli.each(instances, async (instance) => {
          const { id } = instance;
          const name = nameOf(instance, all);
          try {
            const answer = await awaitInstance(api, id, name, isThere(name, options.for), {
              deadline,
              onLost,
              onChange: (now) => progress.show(name, now),
            });
            found.set(id, answer);
            progress.end(name, io.stderr.terminal ? `${name} is ${answer.value.status}` : null);
            return exitCodes.ok;
          } catch (error) {
            progress.end(name, null);
            const explain = error instanceof CtlError && error.exitCode === exitCodes.failure;
            throw explain ? await withLastLines(api, id, name, error) : error;
          }
        });
        const answers = instances.flatMap(({ id }) => found.get(id) ?? []);
        if (options.quiet) for (const { value } of answers) io.write(`${value.id}\n`);
        else if (options.json && names.length !== 1)
          writeJson(
            io,
            answers.map(({ raw }) => raw),
          );
        else if (options.json) for (const { raw } of answers) writeJson(io, raw);
        return worst([code, end]);
      }),
    );
};
