import { type Fields, flag, integer, isBlank, number, optional, withDefault } from "../fields.ts";
import { alias, backendType, exampleFields, file, instanceFields, MAX_INT } from "./common.ts";
import { type ConfigOf, defineBackend } from "./definition.ts";

const threads = {
  ...integer("Number of CPU threads; -1 lets llama-server choose", -1, 4096),
  refusal: (value: unknown) =>
    Number(value) === 0 ? "Input should be at least 1, or -1 for llama-server's own choice" : null,
};

const fields = {
  backend_type: withDefault(backendType("llamacpp"), "llamacpp"),
  model: file("Full path to the GGUF model file"),
  alias,
  threads: withDefault(threads, 1),
  n_gpu_layers: withDefault(integer("Layers to offload to the GPU; 999 is all", -1, MAX_INT), 999),
  temp: withDefault(number("Sampling temperature", 0, 2), 1),
  top_p: withDefault(number("Top-p sampling", 0, 1), 1),
  top_k: withDefault(integer("Top-k sampling; 0 is off", 0, MAX_INT), 0),
  min_p: withDefault(number("Min-p sampling", 0, 1), 0),
  ctx_size: withDefault(integer("Context size in tokens; 0 takes the model's own", 0, MAX_INT), 131_072),
  chat_template_file: optional(file("Path to a Jinja chat template")),
  special: withDefault(flag("Print special tokens too"), false),
  ...instanceFields,
} as const satisfies Fields;

export const llamacppDefinition = defineBackend({
  type: "llamacpp",
  title: "llama.cpp",
  schemaName: "LlamaCpp",
  fields,
  implied: { words: "with `model`", by: ({ model }) => !isBlank(model) },
  example: {
    backend_type: "llamacpp",
    model: "/models/llama-3-8b.gguf",
    alias: "llama-3:8b",
    threads: 4,
    n_gpu_layers: 999,
    temp: 0.7,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.05,
    ctx_size: 8192,
    chat_template_file: null,
    special: false,
    ...exampleFields,
  },
});

export type LlamaCppConfig = ConfigOf<typeof llamacppDefinition>;
