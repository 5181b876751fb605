import { z } from "zod";

/** What a model server is doing right now, and what it did last. */

export const phases = ["idle", "prefill", "generating"] as const;
export const phase = z.enum(phases).meta({ id: "Phase" });
export type Phase = z.output<typeof phase>;

const progressFields = {
  slot_id: z.int().nullable().meta({ description: "Slot that changed last" }),
  task_id: z.int().nullable(),
  prefill_progress: z.number().min(0).max(1).nullable().meta({ description: "0 to 1 while the prompt is read" }),
  prefill_prompt_tokens: z.int().nullable().meta({ description: "Tokens of the prompt" }),
  generated_tokens: z.int().nullable().meta({ description: "Tokens generated so far" }),
  decode_tps: z.number().nullable().meta({ description: "Tokens a second while generating" }),
  decode_ms_per_token: z.number().nullable().meta({ description: "Milliseconds a token" }),
  checkpoint_index: z.int().nullable(),
  checkpoint_total: z.int().nullable(),
};

export const slotState = z
  .object({ ...progressFields, slot_id: z.int(), phase })
  .meta({ id: "SlotState", description: "One slot of a model server" });
export type SlotState = z.output<typeof slotState>;

export const runtimeState = z
  .object({
    instance_id: z.string(),
    busy: z.boolean(),
    phase,
    active_slots: z.int().min(0),
    ...progressFields,
    timestamp: z.string().meta({ description: "RFC 3339, UTC: when this was last true" }),
    slots: z.array(slotState).meta({ description: "Each slot that is at work" }),
  })
  .meta({ id: "RuntimeState" });
export type RuntimeState = z.output<typeof runtimeState>;

export const generationMetrics = z
  .object({
    instance_id: z.string(),
    slot_id: z.int().nullable(),
    task_id: z.int().nullable(),
    prompt_tokens: z.int().nullable().meta({ description: "The whole prompt, what came from the cache included" }),
    cached_tokens: z.int().nullable().meta({ description: "Tokens of the prompt that came from the cache" }),
    generated_tokens: z.int().nullable(),
    decode_tps: z.number().nullable(),
    decode_ms_per_token: z.number().nullable(),
    started_at: z.string().nullable(),
    finished_at: z.string().nullable(),
  })
  .meta({ id: "GenerationMetrics", description: "One finished generation" });
export type GenerationMetrics = z.output<typeof generationMetrics>;
