import type { HuggingFaceCausalConfig, HuggingFaceClassificationConfig } from "../../contract/index.ts";
import type { Backend, Launch, LaunchContext } from "../backend.ts";
import { whereToSet } from "../where-to-set.ts";
import { createPyserverLogReader } from "./log.ts";
import { choosePython } from "./python.ts";
import { pyserverDeathCause, pyserverReasonLines } from "./reason.ts";

/** Both HuggingFace backends: our own Python server, one process for one model. */

type Config = HuggingFaceCausalConfig | HuggingFaceClassificationConfig;

/**
 * Seconds in which the server lets running requests finish. It says good-bye to the rest and ends by
 * itself only if that is over before SIGKILL comes: two seconds before, or half of a short time.
 */
const shutdownSeconds = (stopTimeout: number): number => Math.max(stopTimeout - 2000, stopTimeout / 2) / 1000;

const commonFlags = (config: Config, context: LaunchContext): string[] => [
  ...["--model", config.model_id],
  `--alias=${config.alias}`,
  `--host=${config.host}`,
  `--port=${context.port}`,
  `--device=${config.device}`,
  `--dtype=${config.dtype}`,
  `--max-length=${config.max_length}`,
  `--shutdown-timeout=${shutdownSeconds(context.stopTimeout)}`,
  ...(config.trust_remote_code ? ["--trust-remote-code"] : []),
];

const causalFlags = (config: HuggingFaceCausalConfig): string[] =>
  config.use_flash_attention ? [] : ["--no-flash-attention"];

const classificationFlags = (config: HuggingFaceClassificationConfig): string[] =>
  config.labels === null ? [] : [`--labels=${JSON.stringify(config.labels)}`];

/** An empty entry (of `PYTHONPATH=$PYTHONPATH:/mine`, say) would be the working directory. */
const withoutEmpty = (path: string): string =>
  path
    .split(":")
    .filter((entry) => entry !== "")
    .join(":");

const environment = (config: Config, { env }: LaunchContext): Record<string, string> => ({
  ...(env.PYTHONPATH === undefined ? {} : { PYTHONPATH: withoutEmpty(env.PYTHONPATH) }),
  // What the server starts in its turn: files of the daemon's folder are not to run in place of Python's modules.
  PYTHONSAFEPATH: "1",
  // Python holds back what it writes to a file until some kilobytes are there.
  PYTHONUNBUFFERED: "1",
  SOLAR_PYSERVER_API_KEY: config.api_key,
});

const launchPyserver = (kind: string, flags: string[], config: Config, context: LaunchContext): Launch => {
  const python = choosePython(context);
  return {
    // By its folder, which comes first on Python's path then; `-m` would put the working directory there.
    argv: [python, context.pyserverDir ?? "", kind, ...commonFlags(config, context), ...flags],
    env: environment(config, context),
    programName: "python",
    remedy:
      context.python === ""
        ? `set PYTHON to the Python to use ${whereToSet("PYTHON")}; without it the active environment's is taken, else python3 on PATH`
        : `PYTHON names it ${whereToSet("PYTHON")}`,
  };
};

/**
 * Of the Python server's exit codes: a bad setting, a missing module, labels that do not fit, no model's folder; and
 * those of the shell and the loader for what cannot run.
 */
const FINAL_EXITS = [2, 3, 6, 7, 126, 127];

const shared = {
  // A model may be an id on the Hub as well as a folder, so nothing must be there before a start.
  requiredFiles: () => [],
  // In an encoding of the user's choice its log could not be read.
  isWithheld: (variable: string) => variable === "PYTHONIOENCODING",
  obstacle: () => null,
  isFinalExit: (code: number) => FINAL_EXITS.includes(code),
  healthPath: "/health",
  createLogReader: createPyserverLogReader,
  slotsProbe: () => null,
  reasonLines: pyserverReasonLines,
  deathCause: pyserverDeathCause,
} as const;

export const huggingfaceCausal: Backend<HuggingFaceCausalConfig> = {
  ...shared,
  type: "huggingface_causal",
  supportedEndpoints: ["/v1/chat/completions", "/v1/completions", "/v1/models", "/health"],
  launch: (config, context) => launchPyserver("causal", causalFlags(config), config, context),
};

export const huggingfaceClassification: Backend<HuggingFaceClassificationConfig> = {
  ...shared,
  type: "huggingface_classification",
  supportedEndpoints: ["/v1/classify", "/v1/models", "/health"],
  launch: (config, context) => launchPyserver("classification", classificationFlags(config), config, context),
};
