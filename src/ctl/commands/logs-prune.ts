import type { Command } from "commander";
import type { Api } from "../api.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { CtlError, exitCodes } from "../errors.ts";
import { writeJson } from "../io.ts";

/** `logs prune`: the log files of instances that were deleted. */

interface PruneOptions {
  dryRun?: true;
  yes?: true;
  json?: true;
}

const MIB = 1024 * 1024;

const amount = (names: readonly string[], bytes: number): string =>
  `${names.length} log file${names.length === 1 ? "" : "s"} of deleted instances, ${(bytes / MIB).toFixed(1)} MiB`;

const prune = async (api: Api, dryRun: boolean) => {
  // Its schemas take longer to build than `logs`, which loads this file, has.
  const { prunedLogs } = await import("../../contract/pruned-logs.ts");
  return await api.request("/logs/prune", prunedLogs, { method: "POST", query: { dry_run: String(dryRun) } });
};

const run = async (cli: Cli, command: Command, options: PruneOptions): Promise<number> => {
  const { io } = cli;
  const api = await cli.connect(command);
  const asks = io.stdin.terminal && !options.yes && !options.dryRun;
  if (asks) {
    const { removed, freed_bytes } = (await prune(api, true)).value;
    const { confirm } = await import("../prompt.ts");
    if (removed.length > 0 && !(await confirm(io, `Remove ${amount(removed, freed_bytes)}?`))) {
      throw new CtlError(exitCodes.failure, "nothing was removed");
    }
  }
  const { value, raw } = await prune(api, options.dryRun === true);
  if (options.json) {
    writeJson(io, raw);
    return exitCodes.ok;
  }
  for (const name of value.removed) io.write(`${name}\n`);
  io.say(`${amount(value.removed, value.freed_bytes)} ${options.dryRun ? "would be removed" : "removed"}`);
  return exitCodes.ok;
};

export const addPrune = (logs: Command, cli: Cli): void => {
  const command = logs.command("prune").description("remove the log files of deleted instances");
  addConnection(addJson(command, "{removed, freed_bytes}"))
    .option("--dry-run", "only tell what would be removed")
    .option("-y, --yes", "ask nothing")
    .addHelpText(
      "after",
      `
It prints the names of the files, and asks on a terminal only. Files that the daemon did not make stay.

Examples:
  $ solar-host ctl logs prune --dry-run
  $ solar-host ctl logs prune --yes`,
    )
    // A flag that `logs` has too is read by `logs`.
    .action(cli.action(() => run(cli, command, command.optsWithGlobals<PruneOptions>())));
};
