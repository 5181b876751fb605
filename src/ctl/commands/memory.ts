import type { Command } from "commander";
import { type Memory, memory } from "../../contract/system.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { writeJson } from "../io.ts";
import { type Column, numbers, printTable } from "../table.ts";

interface Row {
  name: string;
  used: number;
  total: number;
  percent: number;
}

const columns: Column<Row>[] = [
  { title: "DEVICE", value: ({ name }) => name, shrinkTo: 8 },
  numbers("USED", ({ used }) => `${used.toFixed(2)} GiB`),
  numbers("TOTAL", ({ total }) => `${total.toFixed(2)} GiB`),
  numbers("PERCENT", ({ percent }) => `${percent.toFixed(0)}%`),
];

const rowsOf = ({ devices, memory_type, used_gb, total_gb, percent }: Memory): Row[] => [
  ...devices.map((device) => ({
    name: `${device.index} ${device.name}`,
    used: device.used_gb,
    total: device.total_gb,
    percent: device.percent,
  })),
  ...(devices.length === 1
    ? []
    : [{ name: devices.length === 0 ? memory_type : `all ${memory_type}`, used: used_gb, total: total_gb, percent }]),
];

export const define = (command: Command, cli: Cli): void => {
  addConnection(addJson(command, "what the API answers"))
    .addHelpText(
      "after",
      `
VRAM of the NVIDIA GPUs; RAM of a machine without one.

Examples:
  $ solar-host ctl memory
  $ solar-host ctl memory --json | jq .percent`,
    )
    .action(
      cli.action(async (options: { json?: true }) => {
        const { io } = cli;
        const { value, raw } = await (await cli.connect(command)).request("/memory", memory);
        if (options.json) writeJson(io, raw);
        else printTable(io, columns, rowsOf(value));
        return 0;
      }),
    );
};
