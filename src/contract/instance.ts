import { z } from "zod";
import { instanceConfig, instanceConfigRequest } from "./config.ts";
import { answerFacts, instanceFacts, instanceId } from "./instance-facts.ts";

export const instance = z.object({ id: instanceId, config: instanceConfig, ...instanceFacts }).meta({ id: "Instance" });
export type Instance = z.output<typeof instance>;

export const instanceAnswer = z.object({ instance, ...answerFacts }).meta({ id: "InstanceAnswer" });
export type InstanceAnswer = z.output<typeof instanceAnswer>;

/** `{config}`, as create and update take it. */
export const instanceRequest = z.object({ config: instanceConfigRequest }).meta({ id: "InstanceRequest" });
