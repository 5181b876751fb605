import type { Command } from "commander";
import { type GenerationMetrics, generationMetrics } from "../../contract/runtime-state.ts";
import { RefusedError } from "../api.ts";
import { instancePath } from "../calls.ts";
import { addConnection, addJson, addNames, type Cli, type OutputOptions } from "../cli.ts";
import { CtlError, exitCodes } from "../errors.ts";
import { type Column, numbers, orDash, printTable } from "../table.ts";
import { parseDuration, parseMoment, since } from "../time.ts";

interface LastOptions extends OutputOptions {
  all?: true;
  after?: string;
  within?: string;
}

interface Row {
  name: string;
  metrics: GenerationMetrics;
}

const columns = (now: number): Column<Row>[] => [
  { title: "NAME", value: ({ name }) => name, shrinkTo: 8 },
  numbers("SLOT", ({ metrics }) => orDash(metrics.slot_id)),
  numbers("PROMPT", ({ metrics }) => orDash(metrics.prompt_tokens)),
  numbers("CACHED", ({ metrics }) => orDash(metrics.cached_tokens)),
  numbers("GENERATED", ({ metrics }) => orDash(metrics.generated_tokens)),
  numbers("TOKENS/S", ({ metrics }) => metrics.decode_tps?.toFixed(1) ?? "-"),
  numbers("MS/TOKEN", ({ metrics }) => metrics.decode_ms_per_token?.toFixed(2) ?? "-"),
  {
    title: "FINISHED",
    value: ({ metrics }) => (metrics.finished_at === null ? "-" : `${since(metrics.finished_at, now)} ago`),
  },
];

export const define = (command: Command, cli: Cli): void => {
  addConnection(addJson(addNames(command), "what the API answers, an array for several"))
    .option("--after <time>", "only one that finished after this (5m ago, or RFC 3339)")
    .option("--within <time>", "only one that finished in the last 30s, 5m")
    .addHelpText(
      "after",
      `
Exit code 4 when there was none.

Examples:
  $ solar-host ctl last llama
  $ solar-host ctl last llama --within 1m --json | jq .decode_tps`,
    )
    .action(
      cli.action(async (names: string[], options: LastOptions) => {
        const { after, within } = options;
        const query = {
          after: after === undefined ? undefined : new Date(parseMoment(after, "--after", Date.now())).toISOString(),
          within_s: within === undefined ? undefined : Math.ceil(parseDuration(within, "--within") / 1000),
        };
        const named = await cli.lookedAt(command, names, options.all === true);
        const outcome = await cli.each(named, async ({ id }, name) => {
          try {
            return await named.api.request(instancePath(id, "/last-generation"), generationMetrics, { query });
          } catch (error) {
            if (!(error instanceof RefusedError) || error.status !== 404) throw error;
            throw new CtlError(exitCodes.notFound, `${name}: ${error.message}`);
          }
        });
        return cli.print(outcome, options, (found) =>
          printTable(
            cli.io,
            columns(Date.now()),
            found.map(({ name, answer }) => ({ name, metrics: answer.value })),
          ),
        );
      }),
    );
};
