import type { ListedInstance } from "../contract/instance-facts.ts";
import type { RuntimeState } from "../contract/runtime-state.ts";
import type { Memory } from "../contract/system.ts";
import { reasonOf } from "./crashes.ts";
import type { Palette } from "./io.ts";
import { nameOf } from "./names.ts";
import { paintPhase } from "./phase.ts";
import { paintStatus } from "./status.ts";
import { type Column, fit, layOut, oneLine } from "./table.ts";
import { since } from "./time.ts";

/** What `top` shows at one moment, as lines. */

export interface Snapshot {
  /** ms since 1970. */
  time: number;
  where: string;
  instances: readonly ListedInstance[];
  states: ReadonlyMap<string, RuntimeState>;
  memory: Memory | null;
  /** Why what is shown is old; null when it is not. */
  problem: string | null;
}

interface Row {
  name: string;
  instance: ListedInstance;
  state: RuntimeState | undefined;
}

/** Tokens a second over all slots at work. */
const rate = (state: RuntimeState): number | null => {
  const rates = state.slots.flatMap(({ phase, decode_tps }) =>
    phase === "generating" && decode_tps !== null ? [decode_tps] : [],
  );
  if (rates.length > 0) return rates.reduce((sum, tps) => sum + tps, 0);
  return state.decode_tps;
};

const doing = ({ instance, state }: Row): string => {
  if (instance.status === "starting") {
    const { loading } = instance;
    const share = loading?.progress === null || loading === null ? "" : ` ${Math.round(loading.progress * 100)}%`;
    return `${loading?.stage ?? "starting"}${share}`;
  }
  if (state === undefined) return "-";
  const { phase, prefill_progress } = state;
  return phase === "prefill" && prefill_progress !== null ? `prefill ${Math.round(prefill_progress * 100)}%` : phase;
};

const columns = (palette: Palette, now: number): Column<Row>[] => [
  { title: "NAME", value: ({ name }) => name, paint: () => palette.bold, shrinkTo: 6 },
  {
    title: "STATUS",
    value: ({ instance }) => instance.status,
    paint: ({ instance }) => paintStatus(instance.status, palette),
    shrinkTo: 4,
  },
  {
    title: "PHASE",
    value: doing,
    paint: ({ state }) => (state === undefined ? palette.dim : paintPhase(state.phase, palette)),
    shrinkTo: 5,
  },
  {
    title: "SLOTS",
    value: ({ state }) => (state === undefined ? "-" : String(state.active_slots)),
    align: "right",
    shrinkTo: 3,
  },
  {
    title: "TOKENS/S",
    value: ({ state }) => (state === undefined ? "-" : (rate(state)?.toFixed(1) ?? "-")),
    align: "right",
    shrinkTo: 5,
  },
  {
    title: "TOKENS",
    value: ({ state }) => String(state?.generated_tokens ?? "-"),
    align: "right",
    shrinkTo: 4,
  },
  { title: "PORT", value: ({ instance }) => String(instance.port ?? "-"), align: "right", shrinkTo: 4 },
  {
    title: "UPTIME",
    value: ({ instance }) => (instance.status === "running" ? since(instance.started_at, now) : "-"),
    align: "right",
    shrinkTo: 4,
  },
  { title: "REASON", value: ({ instance }) => reasonOf(instance, now), paint: () => palette.red, shrinkTo: 6 },
];

const gib = (used: number, total: number, percent: number): string =>
  `${used.toFixed(1)}/${total.toFixed(1)} GiB (${percent.toFixed(0)}%)`;

const memoryLines = (memory: Memory | null): string[] => {
  if (memory === null) return [];
  const { memory_type, used_gb, total_gb, percent, devices } = memory;
  const whole = `${memory_type}  ${gib(used_gb, total_gb, percent)}`;
  if (devices.length < 2) return [devices[0] === undefined ? whole : `${whole}  ${devices[0].name}`];
  return [
    whole,
    ...devices.map(
      (device) => `  ${device.index} ${device.name}  ${gib(device.used_gb, device.total_gb, device.percent)}`,
    ),
  ];
};

const clock = (time: number): string => new Date(time).toTimeString().slice(0, 8);

const RANKS = { failed: 1, starting: 2, stopping: 2, running: 3, stopped: 4 } as const;

/** Busy ones first, then those that need a look. */
const rankOf = ({ instance, state }: Row): number => (state?.busy === true ? 0 : RANKS[instance.status]);

export const topLines = (snapshot: Snapshot, palette: Palette, width: number): string[] => {
  const { time, where, instances, states, memory, problem } = snapshot;
  const rows = instances.map((instance): Row => {
    return { name: nameOf(instance, instances), instance, state: states.get(instance.id) };
  });
  // On a terminal with fewer rows than instances, what is at work is not to be among those that are left out.
  rows.sort((a, b) => rankOf(a) - rankOf(b));
  const running = instances.filter(({ status }) => status === "running").length;
  const head = `${clock(time)}  ${where}  ${running} of ${instances.length} running`;
  const shown = columns(palette, time).filter(
    ({ title }) => title !== "REASON" || instances.some((instance) => reasonOf(instance, time) !== ""),
  );
  return [
    palette.bold(fit(head, width)),
    ...(problem === null ? [] : [palette.red(fit(oneLine(problem), width))]),
    ...memoryLines(memory).map((line) => fit(oneLine(line), width)),
    "",
    ...layOut(shown, rows, width, palette.dim),
  ];
};

/** What a terminal of so many rows has room for: the last line stays, and what is left out is counted. */
export const withRoom = (lines: readonly string[], last: string, rows: number): string[] => {
  if (lines.length + 2 <= rows) return [...lines, "", last];
  const room = Math.max(0, rows - 2);
  return [...lines.slice(0, room), `… ${lines.length - room} more`, last].slice(-rows);
};
