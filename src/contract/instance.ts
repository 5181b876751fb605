import { z } from "zod";
import { backendTypes, instanceConfig } from "./config.ts";

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

export const instance = z
  .object({
    id: z.string().meta({ description: "uuid" }),
    config: instanceConfig,
    status: instanceStatus,
    port: z.int().nullable().meta({ description: "Port of the model server while it has one" }),
    pid: z.int().nullable(),
    created_at: time("When it was created"),
    started_at: time("When its present process was started").nullable(),
    error_message: z.string().nullable().meta({ description: "Why it failed, or what is being waited for" }),
    retry_count: z.int().min(0).meta({ description: "Failed attempts or crashes in a row" }),
    supported_endpoints: z.array(z.string()),
    loading: loadingProgress.nullable().meta({ description: "How far loading has come, where the backend says so" }),
    log_file: z.string().nullable().meta({ description: "Log file of the newest start, on the host" }),
  })
  .meta({ id: "Instance" });
export type Instance = z.output<typeof instance>;

export const instanceAnswer = z
  .object({
    instance,
    message: z.string(),
    warnings: z
      .array(z.string())
      .optional()
      .meta({ description: "Keys of the config that are not known and were left out" }),
  })
  .meta({ id: "InstanceAnswer" });
export type InstanceAnswer = z.output<typeof instanceAnswer>;

/** `{config}`, as create and update take it. */
export const instanceRequest = z.object({ config: instanceConfig }).meta({ id: "InstanceRequest" });

export const supportedBackends = backendTypes;
