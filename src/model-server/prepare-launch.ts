import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import type { Backend, Launch, RequiredFile } from "../backends/index.ts";
import type { InstanceConfig } from "../contract/index.ts";
import { findProgram } from "../process/executable.ts";
import { pathProblem } from "../process/path-problem.ts";
import { expandHome } from "../store/home.ts";
import type { LaunchServices } from "./services.ts";

/** How a config would be run, and what stands in the way: looked at before anything is started or stopped. */

/** Starting it again would fail in the same way: what it needs is not there. */
export class UnstartableError extends Error {}

const checkFile = ({ field, path }: RequiredFile): void => {
  const absolute = resolve(path);
  const problem = pathProblem(absolute);
  if (problem !== null) throw new UnstartableError(`${field}: ${problem.text}`);
  try {
    accessSync(absolute, constants.R_OK);
  } catch {
    throw new UnstartableError(`${field}: may not be read: '${absolute}'`);
  }
};

const locate = ({ argv, programName, remedy }: Launch, env: LaunchServices["env"]): string => {
  const found = findProgram(argv[0] ?? "", env);
  if ("path" in found) return found.path;
  const { missing, text } = found.problem;
  throw new UnstartableError(`${programName} ${missing ? "not found" : "cannot run"}: ${text}; ${remedy}`);
};

const PATH_FIELDS = ["model", "chat_template_file", "model_id"];

/** `~/` in the name of a file is the home folder of the daemon's user. */
const withHome = (config: InstanceConfig, env: LaunchServices["env"]): InstanceConfig => {
  const named = Object.entries(config).filter(([name]) => PATH_FIELDS.includes(name));
  const paths = named.flatMap(([name, value]) => (typeof value === "string" ? [[name, expandHome(value, env)]] : []));
  return { ...config, ...Object.fromEntries(paths) };
};

/** Names of files are relative to the daemon's folder, and never look like a flag. */
const withAbsolutePaths = (backend: Backend, config: InstanceConfig): InstanceConfig => {
  const paths = backend.requiredFiles(config).map(({ field, path }) => [field, resolve(path)]);
  return { ...config, ...Object.fromEntries(paths) };
};

/**
 * How a config would be run, as far as that can be seen before.
 * @throws UnstartableError where it cannot
 */
export const prepareLaunch = async (
  services: LaunchServices,
  backend: Backend,
  given: InstanceConfig,
  port: number,
): Promise<{ launch: Launch; program: string }> => {
  const config = withHome(given, services.env);
  const obstacle = backend.obstacle(config);
  if (obstacle !== null) throw new UnstartableError(obstacle);
  for (const file of backend.requiredFiles(config)) checkFile(file);
  const launch = backend.launch(withAbsolutePaths(backend, config), {
    port,
    llamaServer: services.llamaServer,
    python: services.python,
    env: services.env,
    stopTimeout: services.stopTimeout,
    pyserverDir: backend.type === "llamacpp" ? null : await services.pyserverDir(),
  });
  return { launch, program: locate(launch, services.env) };
};
