import type { Command } from "commander";
import { type RuntimeState, runtimeState, type SlotState } from "../../contract/runtime-state.ts";
import { getInstance, instancePath } from "../calls.ts";
import { addConnection, addJson, addNames, type Cli, type Named, type OutputOptions } from "../cli.ts";
import type { Palette } from "../io.ts";
import { notRunning, paintPhase } from "../status.ts";
import { type Column, numbers, oneLine, orDash, printTable } from "../table.ts";

interface StateOptions extends OutputOptions {
  all?: true;
  follow?: true;
}

type SlotFacts = Pick<
  SlotState,
  "phase" | "task_id" | "prefill_progress" | "prefill_prompt_tokens" | "generated_tokens" | "decode_tps"
>;

interface Row {
  name: string;
  slot: number | null;
  facts: SlotFacts;
}

const columns = (palette: Palette): Column<Row>[] => [
  { title: "NAME", value: ({ name }) => name, paint: () => palette.bold, shrinkTo: 8 },
  numbers("SLOT", ({ slot }) => orDash(slot)),
  { title: "PHASE", value: ({ facts }) => facts.phase, paint: ({ facts }) => paintPhase(facts.phase, palette) },
  numbers("PREFILL", ({ facts }) =>
    facts.prefill_progress === null ? "-" : `${Math.round(facts.prefill_progress * 100)}%`,
  ),
  numbers("PROMPT", ({ facts }) => orDash(facts.prefill_prompt_tokens)),
  numbers("GENERATED", ({ facts }) => orDash(facts.generated_tokens)),
  numbers("TOKENS/S", ({ facts }) => facts.decode_tps?.toFixed(1) ?? "-"),
];

/** A row for each slot at work, or one that says that it is idle. */
const rowsOf = (name: string, state: RuntimeState): Row[] =>
  state.slots.length === 0
    ? [{ name, slot: state.slot_id, facts: state }]
    : state.slots.map((slot) => ({ name, slot: slot.slot_id, facts: slot }));

const once = async (cli: Cli, named: Named, options: OutputOptions): Promise<number> => {
  const outcome = await cli.each(named, async (instance, name) => {
    if (instance.status !== "running") throw notRunning(instance, name);
    return await named.api.request(instancePath(instance.id, "/state"), runtimeState);
  });
  return cli.print(outcome, options, (found) =>
    printTable(
      cli.io,
      columns(cli.io.stdout.palette),
      found.flatMap(({ name, answer }) => rowsOf(name, answer.value)),
    ),
  );
};

const changeText = ({ phase, prefill_progress, generated_tokens, decode_tps }: SlotFacts): string =>
  [
    phase,
    ...(phase !== "prefill" || prefill_progress === null ? [] : [`prefill ${Math.round(prefill_progress * 100)}%`]),
    ...(generated_tokens === null ? [] : [`${generated_tokens} tokens`]),
    ...(decode_tps === null ? [] : [`${decode_tps.toFixed(1)} tokens/s`]),
  ].join("  ");

const IDLE = "idle";

/** What each slot was said to do last; those of which nothing is held are idle. */
export type SaidSlots = ReadonlyMap<number, string>;

/**
 * A line for each slot that does something else than it was said to do, and one for a server that does nothing.
 * @param said null where nothing was said yet
 */
export const changeLines = (
  name: string,
  said: SaidSlots | null,
  { slots }: Pick<RuntimeState, "slots">,
): { lines: string[]; said: SaidSlots } => {
  const now = new Map(slots.map((slot) => [slot.slot_id, changeText(slot)]));
  const ended = [...(said?.keys() ?? [])].filter((slot) => !now.has(slot));
  const changed = [...now].filter(([slot, text]) => said?.get(slot) !== text);
  const lines = [...ended.map((slot) => [slot, IDLE] as const), ...changed].map(
    ([slot, text]) => `${oneLine(name)}  slot ${slot}  ${text}`,
  );
  return { lines: said === null && slots.length === 0 ? [`${oneLine(name)}  ${IDLE}`] : lines, said: now };
};

/** Each change as it comes; states of the past are of no use, so that a break loses nothing that matters. */
const follow = async (cli: Cli, named: Named, json: boolean): Promise<number> => {
  cli.isStream = true;
  const [{ LiveSocket, notUnderstood, parseFrame }, { stateFrame }] = await Promise.all([
    import("../live-socket.ts"),
    import("../../contract/frames.ts"),
  ]);
  const { code } = await cli.each(
    named,
    async (instance, name) => {
      if (instance.status !== "running") throw notRunning(instance, name);
      let said: SaidSlots | null = null;
      const print = (state: RuntimeState): void => {
        const { lines, said: now } = changeLines(name, said, state);
        said = now;
        if (lines.length > 0) cli.io.write(`${lines.join("\n")}\n`);
      };
      const socket = new LiveSocket(named.api, name, {
        check: (options) => getInstance(named.api, instance.id, options),
        path: () => instancePath(instance.id, "/state"),
        frame: (text) => {
          const frame = parseFrame(text);
          const parsed = stateFrame.safeParse(frame);
          if (!parsed.success) throw notUnderstood(name, text, parsed.error);
          if (json) cli.io.write(`${JSON.stringify((frame as { data: unknown }).data)}\n`);
          else print(parsed.data.data);
        },
        say: cli.io.say,
      });
      return await socket.run();
    },
    json,
  );
  return code;
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addJson(addNames(command), "what the API answers, an array for several; with -f a line each"))
    .option("-f, --follow", "each change as it comes, until interrupted")
    .addHelpText(
      "after",
      `
Exit code 3 when an instance does not run.

Examples:
  $ solar-host ctl state llama
  $ solar-host ctl state -f llama
  $ solar-host ctl state llama --json | jq .decode_tps`,
    )
    .action(
      cli.action(async (names: string[], options: StateOptions) => {
        const named = await cli.lookedAt(command, names, options.all === true);
        if (options.follow) return await follow(cli, named, options.json === true);
        return await once(cli, named, options);
      }),
    );
};
