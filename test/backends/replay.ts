import type { BackendEvent, FinishedGeneration, LogReader } from "../../src/backends/index.ts";

const LOGS = new URL("../fixtures/logs/", import.meta.url);

export const recorded = async (name: string): Promise<string[]> =>
  (await Bun.file(new URL(name, LOGS)).text()).split("\n");

export const recordedJson = (name: string): Promise<unknown> => Bun.file(new URL(name, LOGS)).json();

/** Lines as they stand in a test, without its indentation of nothing. */
export const lines = (text: string): string[] => text.split("\n").filter((line) => line.trim() !== "");

export const replay = (reader: LogReader, log: readonly string[]): BackendEvent[] =>
  log.flatMap((line) => reader.read(line));

/** Those of one slot, in order. */
export const ofSlot = (events: readonly BackendEvent[], slot: number): BackendEvent[] =>
  events.filter((event) => "slot" in event && event.slot === slot);

export const generations = (events: readonly BackendEvent[]): FinishedGeneration[] =>
  events.flatMap((event) => (event.type === "slot-released" && event.generation !== null ? [event.generation] : []));
