import type { GenerationMetrics, Instance, InstanceAnswer, LogLine } from "../src/contract/index.ts";
import { type QuickstartDaemon, QuickstartError } from "./quickstart-daemon.ts";

/** One model that the quickstart shows: its instance is made, started, asked and looked at. */

const LOAD_LIMIT_MS = 10 * 60_000;
const METRICS_LIMIT_MS = 10_000;
const POLL_MS = 50;

export interface Demo {
  alias: string;
  /** Fields of its config besides the alias and the key. */
  config: Record<string, unknown>;
  /** Fields that tell whether an instance from an earlier run is still the right one. */
  identity: readonly string[];
  asks: { chat: string } | { classify: readonly string[] };
}

interface ChatAnswer {
  choices: { message: { content: string } }[];
}

/**
 * The instance of that alias, and whether it is new; one whose model has moved is put right.
 * @param key of a new one
 */
export const makeInstance = async (
  daemon: QuickstartDaemon,
  demo: Demo,
  key: string,
): Promise<{ instance: Instance; created: boolean }> => {
  const all = await daemon.ask<Instance[]>("GET", "/instances");
  const found = all.find(({ config }) => config.alias === demo.alias);
  if (found === undefined) {
    const config = { ...demo.config, alias: demo.alias, api_key: key };
    const { instance } = await daemon.ask<InstanceAnswer>("POST", "/instances", { config });
    return { instance, created: true };
  }
  const stored = found.config as Record<string, unknown>;
  if (demo.identity.every((field) => stored[field] === demo.config[field])) return { instance: found, created: false };
  await daemon.ask("POST", `/instances/${found.id}/stop`);
  const config = { ...stored, ...demo.config };
  const { instance } = await daemon.ask<InstanceAnswer>("PUT", `/instances/${found.id}`, { config });
  return { instance, created: false };
};

/** Starts it and waits until it runs. @param onLoading told how far it is, where its server says so */
export const startInstance = async (
  daemon: QuickstartDaemon,
  id: string,
  onLoading: (stage: string) => void,
): Promise<Instance> => {
  await daemon.ask("POST", `/instances/${id}/start?wait=0`);
  const until = performance.now() + LOAD_LIMIT_MS;
  let stage: string | null = null;
  for (;;) {
    const instance = await daemon.ask<Instance>("GET", `/instances/${id}`);
    if (instance.status === "running") return instance;
    if (instance.status !== "starting" || performance.now() > until) {
      const log = instance.log_file === null ? "" : ` Its log: ${instance.log_file}`;
      throw new QuickstartError(`the model does not run: ${instance.error_message ?? instance.status}.${log}`);
    }
    const now = instance.loading?.stage ?? null;
    if (now !== null && now !== stage) onLoading(now);
    stage = now;
    await Bun.sleep(POLL_MS);
  }
};

/** Asks the model itself, on its own port and with its own key. */
const askModel = async <T>({ config, port }: Instance, path: string, body: unknown): Promise<T> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${config.api_key}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new QuickstartError(`the model answered ${response.status}: ${text}`);
  return JSON.parse(text) as T;
};

export const chat = async (instance: Instance, question: string): Promise<string> => {
  const body = {
    model: instance.config.alias,
    messages: [{ role: "user", content: question }],
    temperature: 0,
    max_tokens: 256,
  };
  return (await askModel<ChatAnswer>(instance, "/v1/chat/completions", body)).choices[0]?.message.content ?? "";
};

export interface Classified {
  text: string;
  label: string;
  score: number;
}

export const classify = async (instance: Instance, texts: readonly string[]): Promise<Classified[]> => {
  const { choices } = await askModel<{ choices: Omit<Classified, "text">[] }>(instance, "/v1/classify", {
    model: instance.config.alias,
    input: texts,
  });
  return choices.map(({ label, score }, i) => ({ text: texts[i] ?? "", label, score }));
};

/** The figures of the generation that finished after `began`; they come with the log, a moment after the answer. */
export const lastGeneration = async (daemon: QuickstartDaemon, id: string, began: Date): Promise<GenerationMetrics> => {
  const until = performance.now() + METRICS_LIMIT_MS;
  for (;;) {
    const path = `/instances/${id}/last-generation?after=${began.toISOString()}`;
    const { status, answer } = await daemon.request("GET", path);
    if (status === 200) return answer as GenerationMetrics;
    if (performance.now() > until) {
      throw new QuickstartError(`no figures of the generation: ${JSON.stringify(answer)}. See the instance's log`);
    }
    await Bun.sleep(POLL_MS);
  }
};

export const logTail = (daemon: QuickstartDaemon, id: string, lines: number): Promise<LogLine[]> =>
  daemon.ask<LogLine[]>("GET", `/instances/${id}/logs?tail=${lines}`);
