import { type LlamaCppConfig, llamacppDefinition } from "../../contract/index.ts";
import type { Backend, Launch, LaunchContext } from "../backend.ts";
import { capable } from "../capabilities.ts";
import { filesOf } from "../needs.ts";
import { whereToSet } from "../where-to-set.ts";
import { createLlamaLogReader } from "./log.ts";
import { llamaDeathCause, llamaReasonLines } from "./reason.ts";
import { slotsProbe } from "./slots.ts";
import { isWithheld } from "./withheld-env.ts";

/**
 * llama.cpp's llama-server. Every field that the config has is passed, defaults too: the defaults of
 * the flags change from build to build (`--port`'s does), ours must not.
 */

const program = { name: "llama-server", setting: "LLAMA_SERVER" } as const;

const argvOf = (config: LlamaCppConfig, context: LaunchContext): string[] => [
  context.program === "" ? program.name : context.program,
  ...["--model", config.model],
  ...["--alias", config.alias],
  ...["--threads", String(config.threads)],
  ...["--n-gpu-layers", String(config.n_gpu_layers)],
  ...["--temp", String(config.temp)],
  ...["--top-p", String(config.top_p)],
  ...["--top-k", String(config.top_k)],
  ...["--min-p", String(config.min_p)],
  ...["--ctx-size", String(config.ctx_size)],
  ...(config.chat_template_file === null ? [] : ["--chat-template-file", config.chat_template_file]),
  ...(config.special ? ["--special"] : []),
  ...["--host", config.host],
  ...["--port", String(context.port)],
  "--no-warmup",
  "--jinja",
];

const launch = (config: LlamaCppConfig, context: LaunchContext): Launch => {
  const argv = argvOf(config, context);
  return {
    argv,
    // `ps` shows argv to every user; the environment is the owner's alone.
    env: { LLAMA_API_KEY: config.api_key },
    programName: program.name,
    remedy:
      context.program === ""
        ? `put llama-server on the daemon's PATH, or set LLAMA_SERVER to its full path ${whereToSet("LLAMA_SERVER")}`
        : `LLAMA_SERVER names it ${whereToSet("LLAMA_SERVER")}`,
  };
};

/** Newer builds split the key at commas, so that the whole key would be refused. */
const obstacle = (config: LlamaCppConfig): string | null =>
  config.api_key.includes(",") ? "api_key: llama-server takes a comma as the end of a key; choose one without" : null;

export const llamacpp: Backend<typeof llamacppDefinition, null> = {
  definition: llamacppDefinition,
  program,
  capabilities: () => capable(["chat", "completion"], ["/v1/models"]),
  needs: (config) => ({ files: filesOf(llamacppDefinition.fields, config) }),
  prepare: async () => null,
  launch,
  isWithheld,
  obstacle,
  // Its own code is 1 whatever the reason; these two are the shell's and the loader's for what cannot run.
  isFinalExit: (code) => code === 126 || code === 127,
  healthPath: "/health",
  createLogReader: createLlamaLogReader,
  slotsProbe: (config) => slotsProbe(config.api_key),
  reasonLines: llamaReasonLines,
  deathCause: llamaDeathCause,
};
