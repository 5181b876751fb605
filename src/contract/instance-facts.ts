import { z } from "zod";

/**
 * What an instance is besides its config. Kept apart from the configs, whose schemas take longer to build than
 * a client has that only lists.
 */

export const instanceStatuses = ["stopped", "starting", "running", "failed", "stopping"] as const;
export const instanceStatus = z.enum(instanceStatuses).meta({ id: "InstanceStatus" });
export type InstanceStatus = z.output<typeof instanceStatus>;

const time = (description: string) => z.string().meta({ description: `${description}; RFC 3339, UTC` });

export const loadingProgress = z
  .object({
    stage: z.string().nullable().meta({ description: "What is being loaded, in the backend's own words" }),
    progress: z.number().min(0).max(1).nullable(),
  })
  .meta({ id: "LoadingProgress" });
export type LoadingProgress = z.output<typeof loadingProgress>;

export const instanceFailure = z
  .object({
    reason: z.string(),
    exit_code: z.int().nullable(),
    signal: z.string().nullable(),
    log_lines: z.array(z.string()).meta({ description: "The lines of its log that tell why, most telling first" }),
    attempts: z.int().min(0).meta({ description: "Failed attempts or crashes in a row, this one included" }),
    at: time("When it failed"),
    next_attempt_at: time("When it is tried again, while that is waited for").nullable(),
  })
  .meta({ id: "InstanceFailure" });
export type InstanceFailure = z.output<typeof instanceFailure>;

export const instanceId = z.string().meta({ description: "uuid" });

export const instanceFacts = {
  status: instanceStatus,
  port: z.int().nullable().meta({ description: "Port of the model server while it has one" }),
  pid: z.int().nullable(),
  created_at: time("When it was created"),
  started_at: time("When its present process was started").nullable(),
  error_message: z.string().nullable().meta({ description: "Why it failed, or what is being waited for" }),
  retry_count: z.int().min(0).meta({ description: "Failed attempts or crashes in a row" }),
  // Daemons of older versions answer without these three.
  desired: z.enum(["running", "stopped", "on-demand"]).default("stopped").meta({
    description: "What should be: as it was last asked for, and what a boot of the daemon makes of it",
  }),
  failure: instanceFailure.nullable().default(null).meta({
    description: "The facts behind the last failed attempt or crash, until it has run stably (a minute)",
  }),
  restarts: z.int().min(0).default(0).meta({ description: "Crashes since it was last asked to start" }),
  supported_endpoints: z.array(z.string()),
  loading: loadingProgress.nullable().meta({ description: "How far loading has come, where the backend says so" }),
  log_file: z.string().nullable().meta({ description: "Log file of the newest start, on the host" }),
} as const;

export const answerFacts = {
  message: z.string(),
  warnings: z
    .array(z.string())
    .optional()
    .meta({ description: "Keys of the config that are not known and were left out" }),
} as const;

/** The part that a client needs; daemons of earlier versions send none. */
const listedFailure = z.object({ reason: z.string(), at: z.string().optional() });

/** An instance for clients that need no more of its config than its name. */
export const listedInstance = z.object({
  id: instanceId,
  config: z.looseObject({ alias: z.string(), backend_type: z.string() }),
  ...instanceFacts,
  restarts: z.int().min(0).optional().catch(undefined),
  failure: listedFailure.nullable().optional().catch(undefined),
});
export type ListedInstance = z.output<typeof listedInstance>;

export const listedAnswer = z.object({ instance: listedInstance, ...answerFacts });
export type ListedAnswer = z.output<typeof listedAnswer>;
