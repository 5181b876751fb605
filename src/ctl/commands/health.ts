import type { Command } from "commander";
import { health } from "../../contract/system.ts";
import { listInstances } from "../calls.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { crashText } from "../crashes.ts";
import { CtlError, exitCodes, worst } from "../errors.ts";
import { reportError, writeJson } from "../io.ts";
import { chooseInstances, nameOf } from "../names.ts";
import { notRunning } from "../status.ts";
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

const ofInstances = async (cli: Cli, command: Command, names: string[], options: HealthOptions): Promise<number> => {
  const { io } = cli;
  const { value: all, raw } = await listInstances(await cli.connect(command));
  const { instances, errors } = chooseInstances(names, options.all === true, all);
  const codes = errors.map((error) => reportError(io, error));
  for (const instance of instances) {
    const name = nameOf(instance, all);
    const crash = crashText(instance, Date.now());
    // One that was stopped is as it should be, unless it is asked for by its name.
    if (options.all && instance.status === "stopped") {
      if (!options.json) io.write(`${oneLine(name)}  ${io.stdout.palette.dim("stopped")}\n`);
    } else if (instance.status !== "running") codes.push(reportError(io, notRunning(instance, name)));
    else if (crash !== null)
      codes.push(
        reportError(io, new CtlError(exitCodes.failure, `${name} runs again and is not stable yet: ${crash}`)),
      );
    else if (!options.json) {
      io.write(
        `${oneLine(name)}  ${io.stdout.palette.green("healthy")}  port ${instance.port}  up ${since(instance.started_at, Date.now())}\n`,
      );
    }
  }
  if (options.json) {
    const rows = Array.isArray(raw) ? raw : [];
    const chosen = instances.map((instance) => rows[all.indexOf(instance)]);
    if (names.length === 1) for (const row of chosen) writeJson(io, row);
    else writeJson(io, chosen);
  }
  return worst(codes);
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
