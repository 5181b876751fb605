import { type Fields, flag, isBlank, withDefault } from "../fields.ts";
import { backendType, exampleFields, instanceFields } from "./common.ts";
import { type ConfigOf, defineBackend } from "./definition.ts";
import { maxLength, modelFields, trustRemoteCode, unlessEmpty } from "./huggingface.ts";

const fields = {
  backend_type: backendType("huggingface_causal"),
  ...modelFields,
  max_length: maxLength(4096),
  trust_remote_code: trustRemoteCode,
  use_flash_attention: withDefault(flag("Use Flash Attention 2 if it is available"), true),
  ...instanceFields,
} as const satisfies Fields;

export const huggingfaceCausalDefinition = defineBackend({
  type: "huggingface_causal",
  title: "HuggingFace, text generation",
  schemaName: "HuggingFaceCausal",
  fields,
  implied: {
    words: "with `model_id` alone",
    by: ({ model_id, labels }) => !isBlank(model_id) && isBlank(unlessEmpty(labels)),
  },
  example: {
    backend_type: "huggingface_causal",
    model_id: "meta-llama/Llama-2-7b-chat-hf",
    alias: "llama2-hf:7b",
    device: "auto",
    dtype: "auto",
    max_length: 4096,
    trust_remote_code: false,
    use_flash_attention: true,
    ...exampleFields,
  },
});

export type HuggingFaceCausalConfig = ConfigOf<typeof huggingfaceCausalDefinition>;
