import { backendOf } from "../backends/index.ts";
import type { InstanceConfig } from "../contract/index.ts";
import { prepareLaunch, UnstartableError } from "../model-server/prepare-launch.ts";
import { PortError } from "../process/port-registry.ts";
import { ConfigRefusedError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { InstanceState } from "./instance-state.ts";

/**
 * Looks at the new config of an instance that runs, as far as that can be seen before: its files, its program, its
 * port, which is held from then on.
 * @returns how to give the port back
 * @throws ConfigRefusedError
 */
export const holdPortOf = async (
  config: InstanceConfig,
  host: Host,
  { id, observed, config: before }: InstanceState,
): Promise<() => void> => {
  // One that it has, or that its config named before, is its own already, and not given back by a refusal.
  const isOwn = config.port === observed.port || config.port === before.port;
  const port = isOwn ? null : config.port;
  const release = (): void => {
    if (port !== null) host.ports.release(port, id);
  };
  try {
    if (port !== null) await host.ports.reserve(id, port);
    await prepareLaunch(host, backendOf(config), config, port ?? 0);
  } catch (error) {
    release();
    const isRefusal = error instanceof UnstartableError || error instanceof PortError;
    throw isRefusal ? new ConfigRefusedError(error.message) : error;
  }
  return release;
};
