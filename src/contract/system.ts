import { z } from "zod";
import { backendTypes } from "./config.ts";

export const health = z
  .object({ status: z.literal("healthy"), service: z.literal("solar-host"), version: z.string() })
  .meta({ id: "Health" });
export type Health = z.output<typeof health>;

export const serviceInfo = z
  .object({
    service: z.literal("solar-host"),
    version: z.string(),
    description: z.string(),
    supported_backends: z.array(z.enum(backendTypes)),
    docs: z.string().meta({ description: "Path of the page that describes the API, to click through" }),
  })
  .meta({ id: "ServiceInfo" });
export type ServiceInfo = z.output<typeof serviceInfo>;

export const memoryTypes = ["VRAM", "RAM"] as const;

export const memoryDevice = z
  .object({
    index: z.int(),
    name: z.string(),
    used_gb: z.number(),
    total_gb: z.number(),
    percent: z.number(),
  })
  .meta({ id: "MemoryDevice", description: "One GPU" });
export type MemoryDevice = z.output<typeof memoryDevice>;

export const memory = z
  .object({
    used_gb: z.number().meta({ description: "GiB" }),
    total_gb: z.number().meta({ description: "GiB" }),
    percent: z.number(),
    memory_type: z.enum(memoryTypes),
    devices: z.array(memoryDevice),
  })
  .meta({ id: "Memory" });
export type Memory = z.output<typeof memory>;
