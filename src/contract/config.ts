import { type ConfigOf, definitions } from "./backends/index.ts";
import { configTable } from "./config-table.ts";

/** The configs of the backends that there are. */

export const {
  backendTypes,
  configFields,
  inferBackendType,
  instanceConfig,
  instanceConfigRequest,
  parseConfig,
  refusedValues,
} = configTable(definitions);

export type BackendType = (typeof backendTypes)[number];
export type InstanceConfig = ConfigOf<(typeof definitions)[number]>;
