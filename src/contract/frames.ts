import { z } from "zod";
import { runtimeState } from "./runtime-state.ts";

/** What the two WebSockets send. */

export const logLine = z
  .object({
    seq: z.int().min(0).meta({ description: "Number of the line; grows by one per line for the life of the instance" }),
    timestamp: z.string().meta({ description: "When the line was read; RFC 3339, UTC" }),
    line: z.string(),
  })
  .meta({ id: "LogLine" });
export type LogLine = z.output<typeof logLine>;

export const logStart = z
  .object({
    first: z.int().min(0).meta({ description: "Number of its first line that is still held" }),
    last: z.int().min(-1).meta({ description: "Number of its last line; lower than first where there is none" }),
    started_at: z.string().meta({ description: "RFC 3339, UTC" }),
    ended_at: z
      .string()
      .nullable()
      .meta({ description: "When its last line was read; null while lines still come to it" }),
  })
  .meta({ id: "LogStart", description: "The part of a log that one start of the model server wrote" });
export type LogStart = z.output<typeof logStart>;

export const gapFrame = z
  .object({ type: z.literal("gap"), from: z.int(), to: z.int() })
  .meta({ id: "GapFrame", description: "Lines from..to, both included, whose file is no longer there" });
export type GapFrame = z.output<typeof gapFrame>;

export const errorFrame = z.object({ error: z.string() }).meta({ id: "ErrorFrame" });

export const logFrame = z.union([logLine, gapFrame, errorFrame]).meta({ id: "LogFrame" });
export type LogFrame = z.output<typeof logFrame>;

export const stateFrame = z
  .object({
    seq: z.int().min(0).optional().meta({
      description: "Number of the change, from 0 on again with each daemon; absent in the first frame",
    }),
    timestamp: z.string().optional().meta({ description: "When it changed; RFC 3339, UTC; absent in the first frame" }),
    type: z.literal("instance_state"),
    data: runtimeState,
  })
  .meta({ id: "StateFrame", description: "The whole state: first as it is, then at each change" });
export type StateFrame = z.output<typeof stateFrame>;
