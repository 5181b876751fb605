import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { health } from "../../contract/system.ts";
import { getInstance, listInstances } from "../calls.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { CtlError, exitCodes } from "../errors.ts";
import { type Io, writeJson } from "../io.ts";
import { crashText, notRunning } from "../status.ts";
import { oneLine } from "../table.ts";
import { since } from "../time.ts";

interface HealthOptions {
  json?: true;
  all?: true;
}

const ofDaemon = async (cli: Cli, command: Command, options: HealthOptions): Promise<number> => {
  const { io } = cli;
  const api = await cli.connect(command);
  const { value, raw } = await api.request("/health", health);
  // Anyone may ask for its health: only this shows whether the key is right.
  const { value: instances } = await listInstances(api);
  if (options.json) {
    writeJson(io, raw);
    return 0;
  }
  const running = instances.filter(({ status }) => status === "running").length;
  io.write(
    `${io.stdout.palette.green(value.status)}  ${api.target.url}  solar-host ${value.version}  ${running} of ${instances.length} instances running\n`,
  );
  return 0;
};

/** A line for one that is as it should be. @throws CtlError: what is wrong with it */
const healthLine = ({ stdout }: Io, instance: ListedInstance, name: string, isNamed: boolean): string => {
  // One that was stopped is as it should be, unless it is asked for by its name.
  if (!isNamed && instance.status === "stopped") return `${oneLine(name)}  ${stdout.palette.dim("stopped")}\n`;
  if (instance.status !== "running") throw notRunning(instance, name);
  const crash = crashText(instance, Date.now());
  if (crash !== null) throw new CtlError(exitCodes.failure, `${name} runs again and is not stable yet: ${crash}`);
  const age = since(instance.started_at, Date.now());
  return `${oneLine(name)}  ${stdout.palette.green("healthy")}  port ${instance.port}  up ${age}\n`;
};

const ofInstances = async (cli: Cli, command: Command, names: string[], options: HealthOptions): Promise<number> => {
  const named = await cli.named(command, names, options.all === true);
  const outcome = await cli.each(named, async ({ id }, name) => {
    const { raw, value } = await getInstance(named.api, id);
    return { raw, line: healthLine(cli.io, value, name, !options.all) };
  });
  return cli.print(outcome, options, (found) => {
    for (const { answer } of found) cli.io.write(answer.line);
  });
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(
    addJson(command.argument("[names...]", "instances; the daemon when none is named"), "what the API answers"),
  )
    .option("-a, --all", "every instance")
    .addHelpText(
      "after",
      `
An instance is healthy when it runs: the daemon then keeps asking its model server. Exit code 3 when it does not,
1 when it runs again after a crash and was not stable for a minute. With --all one that was stopped is no error.

Examples:
  $ solar-host ctl health
  $ solar-host ctl health llama && echo ready
  $ solar-host ctl health --context gpu1`,
    )
    .action(
      cli.action((names: string[], options: HealthOptions) =>
        names.length === 0 && options.all !== true
          ? ofDaemon(cli, command, options)
          : ofInstances(cli, command, names, options),
      ),
    );
};
