import type { ListedInstance } from "../contract/instance-facts.ts";
import type { RuntimeState } from "../contract/runtime-state.ts";
import type { Memory } from "../contract/system.ts";
import type { Palette } from "./io.ts";
import { nameOf } from "./names.ts";
import { paintPhase, paintStatus, reasonOf } from "./status.ts";
import { type Column, fit, layOut, numbers, oneLine, orDash } from "./table.ts";
import { since } from "./time.ts";
import { firstView, type Sort, type TopView } from "./top-view.ts";

/** What `top` shows at one moment, as lines. */

export interface Snapshot {
  /** ms since 1970. */
  time: number;
  where: string;
  instances: readonly ListedInstance[];
  states: ReadonlyMap<string, RuntimeState | undefined>;
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
  numbers("SLOTS", ({ state }) => (state === undefined ? "-" : String(state.active_slots)), { shrinkTo: 3 }),
  numbers("TOKENS/S", ({ state }) => (state === undefined ? "-" : (rate(state)?.toFixed(1) ?? "-")), { shrinkTo: 5 }),
  numbers("TOKENS", ({ state }) => orDash(state?.generated_tokens), { shrinkTo: 4 }),
  numbers("PORT", ({ instance }) => orDash(instance.port), { shrinkTo: 4 }),
  numbers("UPTIME", ({ instance }) => (instance.status === "running" ? since(instance.started_at, now) : "-"), {
    shrinkTo: 4,
  }),
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

const startOf = ({ instance }: Row): number =>
  instance.status === "running" ? Date.parse(instance.started_at ?? "") || 0 : Number.POSITIVE_INFINITY;

const byName = (a: Row, b: Row): number => a.name.localeCompare(b.name, "en");

const orders: Readonly<Record<Sort, (a: Row, b: Row) => number>> = {
  busy: (a, b) => rankOf(a) - rankOf(b),
  name: byName,
  status: (a, b) => RANKS[a.instance.status] - RANKS[b.instance.status],
  tokens: (a, b) =>
    (b.state === undefined ? -1 : (rate(b.state) ?? 0)) - (a.state === undefined ? -1 : (rate(a.state) ?? 0)),
  uptime: (a, b) => (startOf(a) === startOf(b) ? 0 : startOf(a) - startOf(b)),
};

const chosen = (rows: Row[], { filter, sort, reversed }: TopView): Row[] => {
  const wanted = rows.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
  const sorted = wanted.sort((a, b) => orders[sort](a, b) || byName(a, b));
  return reversed ? sorted.reverse() : sorted;
};

export interface TopTable {
  head: string[];
  titles: string;
  rows: string[];
}

export const topTable = (snapshot: Snapshot, palette: Palette, width: number, view: TopView = firstView): TopTable => {
  const { time, where, instances, states, memory, problem } = snapshot;
  const all = instances.map((instance): Row => {
    return { name: nameOf(instance, instances), instance, state: states.get(instance.id) };
  });
  const running = instances.filter(({ status }) => status === "running").length;
  const head = `${clock(time)}  ${where}  ${running} of ${instances.length} running`;
  const shown = columns(palette, time).filter(
    ({ title }) => title !== "REASON" || instances.some((instance) => reasonOf(instance, time) !== ""),
  );
  const [titles = "", ...rows] = layOut(shown, chosen(all, view), width, palette.dim);
  return {
    head: [
      palette.bold(fit(head, width)),
      ...(problem === null ? [] : [palette.red(fit(oneLine(problem), width))]),
      ...memoryLines(memory).map((line) => fit(oneLine(line), width)),
      "",
    ],
    titles,
    rows,
  };
};

/** All of it, for a terminal that scrolls by itself and for programs. */
export const topLines = (snapshot: Snapshot, palette: Palette, width: number): string[] => {
  const { head, titles, rows } = topTable(snapshot, palette, width);
  return [...head, titles, ...rows];
};
