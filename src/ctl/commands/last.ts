import type { Command } from "commander";
import { type GenerationMetrics, generationMetrics } from "../../contract/runtime-state.ts";
import { RefusedError } from "../api.ts";
import { instancePath } from "../calls.ts";
import { addConnection, addJson, addNames, type Cli } from "../cli.ts";
import { CtlError, exitCodes, worst } from "../errors.ts";
import { writeJson } from "../io.ts";
import { nameOf } from "../names.ts";
import { type Column, layOut } from "../table.ts";
import { parseDuration, parseMoment, since } from "../time.ts";

interface LastOptions {
  json?: true;
  all?: true;
  after?: string;
  within?: string;
}

interface Row {
  name: string;
  metrics: GenerationMetrics;
}

const count = (value: number | null): string => (value === null ? "-" : String(value));

const columns = (now: number): Column<Row>[] => [
  { title: "NAME", value: ({ name }) => name, shrinkTo: 8 },
  { title: "SLOT", value: ({ metrics }) => count(metrics.slot_id), align: "right" },
  { title: "PROMPT", value: ({ metrics }) => count(metrics.prompt_tokens), align: "right" },
  { title: "CACHED", value: ({ metrics }) => count(metrics.cached_tokens), align: "right" },
  { title: "GENERATED", value: ({ metrics }) => count(metrics.generated_tokens), align: "right" },
  { title: "TOKENS/S", value: ({ metrics }) => metrics.decode_tps?.toFixed(1) ?? "-", align: "right" },
  { title: "MS/TOKEN", value: ({ metrics }) => metrics.decode_ms_per_token?.toFixed(2) ?? "-", align: "right" },
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
        const { io } = cli;
        const { after, within } = options;
        const query = {
          after: after === undefined ? undefined : new Date(parseMoment(after, "--after", Date.now())).toISOString(),
          within_s: within === undefined ? undefined : Math.ceil(parseDuration(within, "--within") / 1000),
        };
        const { api, instances, all, code } = await cli.lookedAt(command, names, options.all === true);
        const rows: (Row & { raw: unknown; at: number })[] = [];
        const end = await cli.each(instances, async (instance) => {
          const name = nameOf(instance, all);
          try {
            const { value, raw } = await api.request(instancePath(instance.id, "/last-generation"), generationMetrics, {
              query,
            });
            rows.push({ name, metrics: value, raw, at: instances.indexOf(instance) });
            return exitCodes.ok;
          } catch (error) {
            if (!(error instanceof RefusedError) || error.status !== 404) throw error;
            throw new CtlError(exitCodes.notFound, `${name}: ${error.message}`);
          }
        });
        rows.sort((a, b) => a.at - b.at);
        if (options.json && (options.all || names.length > 1))
          writeJson(
            io,
            rows.map(({ raw }) => raw),
          );
        else if (options.json) for (const { raw } of rows) writeJson(io, raw);
        else if (rows.length > 0) {
          io.write(`${layOut(columns(Date.now()), rows, io.stdout.width(), io.stdout.palette.dim).join("\n")}\n`);
        }
        return worst([code, end]);
      }),
    );
};
