import { huggingfaceCausalDefinition } from "./huggingface-causal.ts";
import { huggingfaceClassificationDefinition } from "./huggingface-classification.ts";
import { llamacppDefinition } from "./llamacpp.ts";

export type * from "./definition.ts";
export * from "./huggingface-causal.ts";
export * from "./huggingface-classification.ts";
export * from "./llamacpp.ts";

/** Every backend there is, in the order in which the API names them. The first is meant where nothing tells. */
export const definitions = [
  llamacppDefinition,
  huggingfaceCausalDefinition,
  huggingfaceClassificationDefinition,
] as const;
