import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import type { Backend, Launch, RequiredFile } from "../backends/index.ts";
import type { Fields } from "../contract/fields.ts";
import type { InstanceConfig } from "../contract/index.ts";
import { findProgram } from "../process/executable.ts";
import { pathProblem } from "../process/path-problem.ts";
import { expandHome } from "../store/home.ts";
import type { LaunchServices } from "./services.ts";

/** How a config would be run, and what stands in the way: looked at before anything is started or stopped. */

/** Starting it again would fail in the same way: what it needs is not there. */
export class UnstartableError extends Error {}

const checkFile = ({ field, path }: RequiredFile): void => {
  const problem = pathProblem(path);
  if (problem !== null) throw new UnstartableError(`${field}: ${problem.text}`);
  try {
    accessSync(path, constants.R_OK);
  } catch {
    throw new UnstartableError(`${field}: may not be read: '${path}'`);
  }
};

const locate = ({ argv, programName, remedy }: Launch, env: LaunchServices["env"]): string => {
  const found = findProgram(argv[0] ?? "", env);
  if ("path" in found) return found.path;
  const { missing, text } = found.problem;
  throw new UnstartableError(`${programName} ${missing ? "not found" : "cannot run"}: ${text}; ${remedy}`);
};

/**
 * Names as the model server is to read them: `~/` is the home folder of the daemon's user. Names of files are relative
 * to the daemon's folder, and never look like a flag.
 */
const withPaths = ({ definition }: Backend, config: InstanceConfig, env: LaunchServices["env"]): InstanceConfig => {
  const fields: Fields = definition.fields;
  const paths = Object.entries(config).flatMap(([name, value]) => {
    const names = fields[name]?.names;
    if (names === undefined || typeof value !== "string") return [];
    const path = expandHome(value, env);
    return [[name, names === "file" ? resolve(path) : path]];
  });
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
  const config = withPaths(backend, given, services.env);
  const obstacle = backend.obstacle(config);
  if (obstacle !== null) throw new UnstartableError(obstacle);
  for (const file of backend.needs(config).files) checkFile(file);
  const { env, stopTimeout, programs } = services;
  const program = backend.program === null ? "" : programs[backend.program.setting];
  const prepared = await backend.prepare(services);
  const launch = backend.launch(config, { port, program, env, stopTimeout }, prepared);
  return { launch, program: locate(launch, env) };
};
