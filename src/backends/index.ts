import type { BackendType, InstanceConfig } from "../contract/index.ts";
import type { Backend } from "./backend.ts";
import { backendTable } from "./backend-table.ts";
import { huggingfaceCausal, huggingfaceClassification } from "./huggingface/index.ts";
import { llamacpp } from "./llamacpp/index.ts";

export type * from "./backend.ts";
export type * from "./capabilities.ts";
export type * from "./needs.ts";
export { decodeRate } from "./rates.ts";

/** Every backend there is: the compiler finds one that the contract names and that is not here. */
export const backends: Readonly<Record<BackendType, Backend>> = backendTable([
  llamacpp,
  huggingfaceCausal,
  huggingfaceClassification,
]);

export const backendOf = (config: Pick<InstanceConfig, "backend_type">): Backend => backends[config.backend_type];
