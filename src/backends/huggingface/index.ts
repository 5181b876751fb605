import {
  type HuggingFaceCausalConfig,
  type HuggingFaceClassificationConfig,
  huggingfaceCausalDefinition,
  huggingfaceClassificationDefinition,
} from "../../contract/index.ts";
import type { Backend, Launch, LaunchContext, Services } from "../backend.ts";
import { capable } from "../capabilities.ts";
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

const program = { name: "python", setting: "PYTHON" } as const;

/** @param folder of the unpacked package */
const launchPyserver = (
  kind: string,
  flags: string[],
  config: Config,
  context: LaunchContext,
  folder: string,
): Launch => {
  const python = choosePython(context);
  return {
    // By its folder, which comes first on Python's path then; `-m` would put the working directory there.
    argv: [python, folder, kind, ...commonFlags(config, context), ...flags],
    env: environment(config, context),
    programName: program.name,
    remedy:
      context.program === ""
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
  program,
  needs: () => ({ files: [] }),
  prepare: (services: Services) => services.pyserverDir(),
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

const EVERY_SERVER = ["/v1/models", "/health"];

export const huggingfaceCausal: Backend<typeof huggingfaceCausalDefinition, string> = {
  ...shared,
  definition: huggingfaceCausalDefinition,
  capabilities: () => capable(["chat", "completion"], EVERY_SERVER),
  launch: (config, context, folder) => launchPyserver("causal", causalFlags(config), config, context, folder),
};

export const huggingfaceClassification: Backend<typeof huggingfaceClassificationDefinition, string> = {
  ...shared,
  definition: huggingfaceClassificationDefinition,
  capabilities: () => capable(["classify"], EVERY_SERVER),
  launch: (config, context, folder) =>
    launchPyserver("classification", classificationFlags(config), config, context, folder),
};
