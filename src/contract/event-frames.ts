import { z } from "zod";
import { instance } from "./instance.ts";
import { instanceId } from "./instance-facts.ts";
import { runtimeState } from "./runtime-state.ts";
import { memory } from "./system.ts";

/** What `WS /events` sends: first a snapshot, then whole objects as they change. */

export const eventTypes = [
  "created",
  "starting",
  "running",
  "crashed",
  "failed",
  "stopping",
  "stopped",
  "adopted",
  "deleted",
  "evicted",
] as const;

export const instanceEvent = z
  .object({
    seq: z.int().min(0).meta({ description: "Grows by one per event, from 0 on again with each daemon" }),
    time: z.string().meta({ description: "RFC 3339, UTC" }),
    type: z.enum(eventTypes),
    instance_id: instanceId,
    alias: z.string(),
    detail: z.string().nullable().meta({ description: "Why, for a person" }),
  })
  .meta({ id: "InstanceEvent", description: "Something that happened to an instance" });
export type InstanceEvent = z.output<typeof instanceEvent>;

export const eventFrame = z
  .union([
    z
      .object({
        type: z.literal("snapshot"),
        instances: z.array(instance),
        states: z.array(runtimeState),
        memory: memory.nullable().meta({ description: "As of GET /memory; null where it cannot be read" }),
        pulls: z.array(z.unknown()),
      })
      .meta({ id: "SnapshotFrame", description: "All there is, first" }),
    z.object({ type: z.literal("instance"), instance }).meta({ id: "InstanceFrame" }),
    z.object({ type: z.literal("removed"), id: instanceId }).meta({ id: "RemovedFrame" }),
    z
      .object({ type: z.literal("states"), states: z.array(runtimeState) })
      .meta({ id: "StatesFrame", description: "Those that changed, at most every 100 ms" }),
    z.object({ type: z.literal("memory"), memory }).meta({ id: "MemoryFrame" }),
    z
      .object({ type: z.literal("event"), event: instanceEvent })
      .meta({ id: "EventFrame", description: "With log=1: none is left out, the last 500 first" }),
  ])
  .meta({ id: "EventsFrame" });
export type EventFrame = z.output<typeof eventFrame>;
