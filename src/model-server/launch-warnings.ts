import { backends } from "../backends/index.ts";
import { findProgram, formatDoubt } from "../process/executable.ts";
import type { LaunchServices } from "./services.ts";

/** What of the daemon's settings and environment a person should know before the first start fails of it. */
export const launchWarnings = ({
  env,
  llamaServer,
  python,
}: Pick<LaunchServices, "env" | "llamaServer" | "python">): string[] => {
  const warnings: string[] = [];
  for (const [setting, value] of Object.entries({ LLAMA_SERVER: llamaServer, PYTHON: python })) {
    if (value === "") continue;
    const found = findProgram(value, env);
    const problem = "path" in found ? formatDoubt(found.path) : found.problem.text;
    if (problem === null) continue;
    warnings.push(`${setting} is '${value}', but ${problem}; an instance that needs it will not start`);
  }
  const withheld = Object.keys(env).filter((name) => backends.llamacpp.isWithheld(name));
  if (withheld.length > 0) {
    warnings.push(
      `not passed on to llama-server, since it would change what the daemon depends on: ${withheld.sort().join(", ")}`,
    );
  }
  return warnings;
};
