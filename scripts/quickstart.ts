import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { GenerationMetrics, Instance } from "../src/contract/index.ts";
import { QuickstartDaemon, QuickstartError } from "./quickstart-daemon.ts";
import {
  chat,
  classify,
  type Demo,
  lastGeneration,
  logTail,
  makeInstance,
  startInstance,
} from "./quickstart-instance.ts";

/** Starts the daemon, shows what it does with a model and stays with it. Run by scripts/quickstart. */

const root = join(import.meta.dir, "..");
const dir = join(root, ".quickstart");
const keyFile = join(dir, "instance-key");

const models = join(root, "test/fixtures/models");
const question = "What is Solar Host?";

const llamaDemo: Demo = {
  alias: "solar-tiny",
  config: {
    backend_type: "llamacpp",
    model: join(models, "solar-tiny.gguf"),
    host: "127.0.0.1",
    threads: 1,
    ctx_size: 4096,
    temp: 0,
  },
  identity: ["backend_type", "model"],
  asks: { chat: question },
};

const causalDemo: Demo = {
  alias: "solar-tiny-hf",
  config: { backend_type: "huggingface_causal", model_id: join(models, "solar-tiny"), host: "127.0.0.1" },
  identity: ["backend_type", "model_id"],
  asks: { chat: question },
};

const classificationDemo: Demo = {
  alias: "solar-sentiment",
  config: { backend_type: "huggingface_classification", model_id: join(models, "solar-sentiment"), host: "127.0.0.1" },
  identity: ["backend_type", "model_id"],
  asks: { classify: ["What a beautiful day, I am so happy!", "I hate waiting in this awful line."] },
};

const say = (text: string): void => console.log(`==> ${text}`);
const show = (text: string): void => console.log(text.replaceAll(/^/gm, "    "));

const describe = (generation: GenerationMetrics): string => {
  const { prompt_tokens, generated_tokens, decode_tps, decode_ms_per_token } = generation;
  return `${prompt_tokens} tokens read, ${generated_tokens} written, ${decode_tps} tokens a second (${decode_ms_per_token} ms each)`;
};

/** Runs one demo from the instance to its figures. */
const runDemo = async (daemon: QuickstartDaemon, demo: Demo): Promise<Instance> => {
  const { instance, created } = await makeInstance(daemon, demo, randomBytes(24).toString("base64url"));
  say(created ? `created the instance ${demo.alias}` : `the instance ${demo.alias} is there already`);
  const running = await startInstance(daemon, instance.id, (stage) => show(stage));
  say(`${demo.alias} runs: port ${running.port}, pid ${running.pid}`);
  await ask(daemon, demo, running);
  say("the end of its log");
  for (const { seq, line } of await logTail(daemon, instance.id, 6)) show(`${seq}  ${line}`);
  return running;
};

/** Puts the demo's question to the model itself, and shows what came of it. */
const ask = async (daemon: QuickstartDaemon, { asks }: Demo, running: Instance): Promise<void> => {
  if ("classify" in asks) {
    say("classifying with it");
    for (const { text, label, score } of await classify(running, asks.classify)) {
      show(`${label} (${score.toFixed(3)})  ${text}`);
    }
    return;
  }
  const began = new Date();
  say(`asking it: ${asks.chat}`);
  show(await chat(running, asks.chat));
  say("its last generation");
  show(describe(await lastGeneration(daemon, running.id, began)));
};

/** What to type next; every line works as it stands in another terminal, in the same folder. */
const nextCommands = (url: string, instance: Instance): string => {
  const here = (path: string): string => relative(process.cwd(), path) || ".";
  const one = `${url}/instances/${instance.id}`;
  return `
The daemon listens on ${url}. Type in another terminal, in this folder:

  key=$(sed -n 's/^API_KEY=//p' '${here(join(dir, ".env"))}')
  curl -H "X-API-Key: $key" ${url}/instances
  curl -H "X-API-Key: $key" ${one}/state
  curl -H "X-API-Key: $key" '${one}/logs?tail=20'
  curl -H "X-API-Key: $key" ${one}/last-generation
  curl -H "X-API-Key: $key" -X POST ${one}/restart

and to talk to the model itself:

  instance_key=$(cat '${here(keyFile)}')
  curl -H "Authorization: Bearer $instance_key" http://127.0.0.1:${instance.port}/v1/chat/completions \\
    -d '{"messages": [{"role": "user", "content": "Tell me a joke."}]}'

In a browser: ${url}/docs (Authorize takes the key; echo "$key" shows it).
With a model of your own: see README.md. Ctrl-C ends the daemon and its instances.
`;
};

/** The daemon once there is one, and whether a signal asked for the end. */
interface Session {
  daemon: QuickstartDaemon | null;
  interrupted: boolean;
}

const run = async (session: Session, once: boolean, port: number, demos: readonly Demo[]): Promise<void> => {
  say(`starting the daemon in ${relative(process.cwd(), dir) || "."}`);
  const daemon = await QuickstartDaemon.start({ binary: join(root, "dist/solar-host"), dir, port }, (spawned) => {
    session.daemon = spawned;
    if (session.interrupted) void spawned.end();
  });
  let talks: Instance | null = null;
  for (const demo of demos) {
    if (session.interrupted) return;
    const instance = await runDemo(daemon, demo);
    if ("chat" in demo.asks) talks = instance;
  }
  if (talks === null) return;
  // For the commands that a person types next.
  writeFileSync(keyFile, `${talks.config.api_key}\n`, { mode: 0o600 });
  if (once || session.interrupted) return;
  daemon.showLog();
  console.log(nextCommands(daemon.url, talks));
  await daemon.exited;
};

const main = async (once: boolean, port: number, demos: readonly Demo[]): Promise<number> => {
  const session: Session = { daemon: null, interrupted: false };
  const interrupt = (): void => {
    say(session.interrupted ? "once more: ending at once" : "stopping the daemon and its instances");
    session.interrupted = true;
    void session.daemon?.end();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  let failed = false;
  try {
    await run(session, once, port, demos);
  } catch (error) {
    // What was asked while the daemon ended came to nothing, as it should.
    failed = !session.interrupted;
    const text = error instanceof QuickstartError ? error.message : `unexpected: ${(error as Error).stack}`;
    if (failed) console.error(`error: ${text}`);
  }
  const code = (await session.daemon?.end()) ?? 0;
  if (failed) return 1;
  if (code === 0) say("everything is stopped");
  else console.error(`error: the daemon ended with exit code ${code}`);
  return code === 0 ? 0 : 1;
};

const [once = "false", port = "8001", hf = "false"] = process.argv.slice(2);
const demos = hf === "true" ? [causalDemo, classificationDemo] : [llamaDemo];
process.exit(await main(once === "true", Number(port), demos));
