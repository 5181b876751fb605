import type { Command } from "commander";
import { type Instance, instance as instanceSchema } from "../../contract/instance.ts";
import { type ListedInstance, listedInstance } from "../../contract/instance-facts.ts";
import type { Answer } from "../api.ts";
import { instancePath } from "../calls.ts";
import { addConnection, addJson, addNames, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { harmless } from "../foreign-text.ts";
import type { Io } from "../io.ts";
import { crashText, paintStatus } from "../status.ts";
import { since } from "../time.ts";

const shown = (value: unknown): string => {
  if (value === null || value === undefined) return "-";
  return Array.isArray(value) ? value.join(", ") : String(value);
};

/** The crash that it came back from; what failed for good says why in its reason. */
const crashFacts = (listed: ListedInstance | undefined): [string, string][] => {
  const text = listed === undefined ? null : crashText(listed, Date.now());
  const restarts = listed?.restarts ?? 0;
  return [
    ...(restarts === 0 ? [] : [["restarts", String(restarts)] as [string, string]]),
    ...(text === null ? [] : [["failure", text] as [string, string]]),
  ];
};

const facts = (instance: Instance, listed: ListedInstance | undefined): [string, string][] => [
  ["id", instance.id],
  ["status", instance.status],
  ...(instance.error_message === null ? [] : [["reason", instance.error_message] as [string, string]]),
  ...crashFacts(listed),
  ["port", shown(instance.port)],
  ["pid", shown(instance.pid)],
  ["created", `${instance.created_at} (${since(instance.created_at, Date.now())} ago)`],
  [
    "started",
    instance.started_at === null ? "-" : `${instance.started_at} (${since(instance.started_at, Date.now())} ago)`,
  ],
  ["retries", shown(instance.retry_count)],
  ["endpoints", instance.supported_endpoints.join(" ")],
  ["log file", shown(instance.log_file)],
];

/** People look over shoulders; a program gets the key with --json. */
const configLines = (instance: Instance): [string, string][] =>
  Object.entries(instance.config).map(([name, value]) => [
    name,
    name === "api_key" ? "(shown by --json)" : shown(value),
  ]);

const print = (io: Io, { value: instance, raw }: Answer<Instance>): void => {
  const { palette, terminal } = io.stdout;
  const clean = (text: string): string => (terminal ? harmless(text, false) : text);
  const config = configLines(instance);
  const lines = facts(instance, listedInstance.safeParse(raw).data);
  const width = Math.max(...config.map(([name]) => name.length + 2), ...lines.map(([name]) => name.length));
  const line = (name: string, value: string, indent = ""): string =>
    `${indent}${palette.dim(name.padEnd(width - indent.length))}  ${value.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}\n`;
  io.write(`${palette.bold(clean(instance.config.alias))}\n`);
  for (const [name, value] of lines) {
    io.write(line(name, name === "status" ? paintStatus(instance.status, palette)(value) : clean(value)));
  }
  io.write("config\n");
  for (const [name, value] of config) io.write(line(clean(name), clean(value), "  "));
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(addNames(command), "what the API answers: an object, an array for several")))
    .addHelpText(
      "after",
      `
Examples:
  $ solar-host ctl get llama
  $ solar-host ctl get llama --json | jq .config
  $ solar-host ctl get --all -q`,
    )
    .action(
      cli.action(async (names: string[], options: OutputOptions & { all?: true }) => {
        const named = await cli.lookedAt(command, names, options.all === true);
        const outcome = await cli.each(named, ({ id }) => named.api.request(instancePath(id), instanceSchema));
        return cli.print(outcome, options, (found) => {
          for (const [at, { answer }] of found.entries()) {
            if (at > 0) cli.io.write("\n");
            print(cli.io, answer);
          }
        });
      }),
    );
};
