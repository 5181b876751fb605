import { z } from "zod";

/** Alone in this file, so that a client that prunes need not load the schemas of the configs. */
export const prunedLogs = z
  .object({
    removed: z.array(z.string()).meta({ description: "Names of the log files" }),
    freed_bytes: z.int().min(0).meta({ description: "What they took on the disk" }),
  })
  .meta({ id: "PrunedLogs", description: "Log files of deleted instances that were removed, or would be" });
export type PrunedLogs = z.output<typeof prunedLogs>;
