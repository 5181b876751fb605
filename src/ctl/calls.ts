import { z } from "zod";
import { type ListedAnswer, type ListedInstance, listedAnswer, listedInstance } from "../contract/instance-facts.ts";
import type { Answer, Api, RequestOptions } from "./api.ts";

/**
 * The routes that most commands use. Those that need whole configs, states or log lines load the schemas of
 * these themselves: building them takes longer than `ls` has.
 */

export const instancePath = (id: string, verb = ""): string => `/instances/${encodeURIComponent(id)}${verb}`;

export const listInstances = (api: Api, options: RequestOptions = {}): Promise<Answer<ListedInstance[]>> =>
  api.request("/instances", z.array(listedInstance), options);

export const getInstance = (api: Api, id: string, options: RequestOptions = {}): Promise<Answer<ListedInstance>> =>
  api.request(instancePath(id), listedInstance, options);

/** @param waitS seconds that the daemon waits for the model; its own default where undefined */
export const operate = (
  api: Api,
  id: string,
  verb: "start" | "stop" | "restart",
  waitS?: number,
  signal?: AbortSignal,
): Promise<Answer<ListedAnswer>> =>
  api.request(instancePath(id, `/${verb}`), listedAnswer, {
    method: "POST",
    timeoutMs: null,
    query: { wait: verb === "stop" ? undefined : waitS },
    signal,
  });
