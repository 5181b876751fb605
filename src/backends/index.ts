import type { BackendType, InstanceConfig } from "../contract/index.ts";
import type { Backend } from "./backend.ts";
import { huggingfaceCausal, huggingfaceClassification } from "./huggingface/index.ts";
import { llamacpp } from "./llamacpp/index.ts";

export type * from "./backend.ts";
export { decodeRate } from "./rates.ts";

/** Every backend there is. A new one is one new file and one line here. */
export const backends: Readonly<Record<BackendType, Backend>> = {
  llamacpp,
  huggingface_causal: huggingfaceCausal,
  huggingface_classification: huggingfaceClassification,
};

export const backendOf = (config: Pick<InstanceConfig, "backend_type">): Backend => backends[config.backend_type];
