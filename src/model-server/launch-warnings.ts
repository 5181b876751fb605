import { type Backend, backends } from "../backends/index.ts";
import { findProgram, formatDoubt } from "../process/executable.ts";
import type { LaunchServices } from "./services.ts";

const problemOf = (program: string, env: LaunchServices["env"]): string | null => {
  const found = findProgram(program, env);
  return "path" in found ? formatDoubt(found.path) : found.problem.text;
};

/** Faults of the daemon's settings and environment, told before the first start fails because of them. */
export const launchWarnings = (
  { env, programs }: Pick<LaunchServices, "env" | "programs">,
  all: readonly Pick<Backend, "program" | "isWithheld">[] = Object.values(backends),
): string[] => {
  const warnings = new Set<string>();
  // Backends of one program say the same of it.
  for (const { program, isWithheld } of all) {
    if (program === null) continue;
    const value = programs[program.setting];
    const problem = value === "" ? null : problemOf(value, env);
    if (problem !== null) {
      warnings.add(`${program.setting} is '${value}', but ${problem}; an instance that needs it will not start`);
    }
    const withheld = Object.keys(env).filter((name) => isWithheld(name));
    if (withheld.length === 0) continue;
    const names = withheld.sort().join(", ");
    warnings.add(`not passed on to ${program.name}, since it would change what the daemon depends on: ${names}`);
  }
  return [...warnings];
};
