import { expect, test } from "bun:test";
import type { RuntimeState, SlotState } from "../../src/contract/index.ts";
import { createPalette } from "../../src/ctl/io.ts";
import { type Snapshot, topLines, topTable } from "../../src/ctl/top-table.ts";
import { firstView, type Sort } from "../../src/ctl/top-view.ts";
import { listed } from "./listed.ts";

const time = Date.parse("2025-11-24T12:00:00Z");

const slot = (slot_id: number, more: Partial<SlotState> = {}): SlotState => ({
  slot_id,
  task_id: 1,
  phase: "generating",
  prefill_progress: null,
  prefill_prompt_tokens: null,
  generated_tokens: 7,
  decode_tps: 10,
  decode_ms_per_token: 100,
  checkpoint_index: null,
  checkpoint_total: null,
  ...more,
});

const state = (slots: SlotState[], more: Partial<RuntimeState> = {}): RuntimeState => ({
  ...slot(0),
  instance_id: "a",
  busy: slots.length > 0,
  phase: "generating",
  active_slots: slots.length,
  timestamp: "2025-11-24T12:00:00Z",
  slots,
  ...more,
});

const running = listed("aaaaaaaa-1", "llama", { status: "running", port: 3500, started_at: "2025-11-24T11:00:00Z" });

const snapshot = (more: Partial<Snapshot> = {}): Snapshot => ({
  time,
  where: "http://gpu1:8001",
  instances: [running],
  states: new Map([["aaaaaaaa-1", state([slot(0), slot(1, { decode_tps: 5.5 })])]]),
  memory: { memory_type: "RAM", used_gb: 8, total_gb: 16, percent: 50, devices: [] },
  problem: null,
  ...more,
});

const lines = (more: Partial<Snapshot> = {}, width = 120): string[] =>
  topLines(snapshot(more), createPalette(false), width);
const row = (more: Partial<Snapshot> = {}): string[] => lines(more).at(-1)?.trim().split(/ {2,}/) ?? [];

test("a row has status, phase, slots, the rate of all slots at work, port and uptime", () => {
  expect(row()).toEqual(["llama", "running", "generating", "2", "15.5", "7", "3500", "1h 00m"]);
});

test("a slot that reads its prompt adds nothing to the rate, and how far it has come is shown", () => {
  const states = new Map([
    [
      "aaaaaaaa-1",
      state([slot(0, { phase: "prefill" })], { phase: "prefill", prefill_progress: 0.42, decode_tps: null }),
    ],
  ]);
  expect(row({ states })[2]).toBe("prefill 42%");
  expect(row({ states })[4]).toBe("-");
});

test("one that loads shows what it loads, and one that failed why", () => {
  const loading = listed("a", "x", { status: "starting", loading: { stage: "loading tensors", progress: 0.5 } });
  expect(row({ instances: [loading], states: new Map() })[2]).toBe("loading tensors 50%");
  const failed = listed("a", "x", { status: "failed", error_message: "it died" });
  expect(row({ instances: [failed], states: new Map() }).at(-1)).toBe("it died");
  expect(lines({ instances: [failed] }).join()).toContain("REASON");
  expect(lines().join()).not.toContain("REASON");
});

test("the memory is the machine's, and each GPU's where there are several", () => {
  const gpu = (index: number) => ({ index, name: `GPU ${index}`, used_gb: 1, total_gb: 2, percent: 50 });
  const memory = { memory_type: "VRAM" as const, used_gb: 2, total_gb: 4, percent: 50, devices: [gpu(0), gpu(1)] };
  expect(lines({ memory }).slice(1, 4)).toEqual([
    "VRAM  2.0/4.0 GiB (50%)",
    "  0 GPU 0  1.0/2.0 GiB (50%)",
    "  1 GPU 1  1.0/2.0 GiB (50%)",
  ]);
  expect(lines({ memory: { ...memory, devices: [gpu(0)] } })[1]).toBe("VRAM  2.0/4.0 GiB (50%)  GPU 0");
});

test("a daemon that is away is told above what was known last", () => {
  const shown = lines({ problem: "cannot reach it\nnow" });
  expect(shown[1]).toBe("cannot reach it");
  expect(shown.at(-1)).toStartWith("llama");
});

test.each([40, 60, 80])("no line is wider than %d columns", (width) => {
  const instances = [
    listed("a", "a-name-that-is-rather-long-for-a-table", { status: "failed", error_message: "e".repeat(200) }),
    running,
  ];
  const shown = lines({ instances, where: "w".repeat(200), problem: "p".repeat(200) }, width);
  expect(Math.max(...shown.map((line) => Bun.stringWidth(line)))).toBeLessThanOrEqual(width);
});

test("busy ones stand first, then those that failed, whatever the order of the list", () => {
  const idle = listed("b", "idle", { status: "running" });
  const instances = [listed("d", "stopped"), idle, listed("f", "failed", { status: "failed" }), running];
  const states = new Map([[running.id, state([slot(0, { phase: "generating" })], { busy: true })]]);
  const names = lines({ instances, states })
    .slice(-4)
    .map((line) => line.split(/ {2,}/)[0]);
  expect(names).toEqual(["llama", "failed", "idle", "stopped"]);
});

const several = {
  instances: [
    listed("c", "Charlie", { status: "running", started_at: "2025-11-24T11:00:00Z" }),
    listed("a", "alpha", { status: "stopped" }),
    listed("b", "bravo", { status: "running", started_at: "2025-11-24T10:00:00Z" }),
    listed("d", "delta", { status: "failed" }),
  ],
  states: new Map([
    ["c", state([slot(0, { decode_tps: 5 })], { busy: true })],
    ["b", state([], { busy: false, decode_tps: null })],
  ]),
};

const names = (view: Partial<typeof firstView>): string[] =>
  topTable(snapshot(several), createPalette(false), 120, { ...firstView, ...view }).rows.map(
    (line) => line.split(/ {2,}/)[0] ?? "",
  );

test.each<[Sort, string[]]>([
  ["busy", ["Charlie", "delta", "bravo", "alpha"]],
  ["name", ["alpha", "bravo", "Charlie", "delta"]],
  ["status", ["delta", "bravo", "Charlie", "alpha"]],
  ["tokens", ["Charlie", "bravo", "alpha", "delta"]],
  ["uptime", ["bravo", "Charlie", "alpha", "delta"]],
])(
  "rows sorted by %s stand in that order, those that are alike by name, and in the other one when reversed",
  (sort, order) => {
    expect(names({ sort })).toEqual(order);
    expect(names({ sort, reversed: true })).toEqual(order.toReversed());
  },
);

test("a filter leaves the rows whose name has it, in any case", () => {
  expect(names({ filter: "A" })).toEqual(["Charlie", "delta", "bravo", "alpha"]);
  expect(names({ filter: "RAV" })).toEqual(["bravo"]);
  expect(names({ filter: "none" })).toEqual([]);
});
