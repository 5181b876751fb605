import { z } from "zod";
import { isRecord } from "../common/record.ts";
import {
  answerSchema,
  choice,
  custom,
  type Fields,
  flag,
  integer,
  number,
  optional,
  requestSchema,
  text,
  withDefault,
} from "./fields.ts";

/** The config of each backend: one set of fields each, from which request and answer schemas are built. */

export const backendTypes = ["llamacpp", "huggingface_causal", "huggingface_classification"] as const;
export type BackendType = (typeof backendTypes)[number];

const MAX_INT = 2_147_483_647;

/** A control character in an alias, a host or a path would end up in argv, file names and terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;

const plainText = (description: string) =>
  custom(
    z
      .string({ error: "Input should be a string" })
      .min(1, "Input should not be empty")
      .max(4096, "Input should have at most 4096 characters")
      .refine((value) => !CONTROL.test(value), "Input should not contain control characters")
      .meta({ description }),
  );

const alias = custom(
  z
    .string({ error: "Input should be a string" })
    .min(1, "Input should not be empty")
    .max(256, "Input should have at most 256 characters")
    .refine((value) => !CONTROL.test(value), "Input should not contain control characters")
    .refine((value) => !value.startsWith("-"), "Input should not start with '-'")
    .meta({ description: "Model alias used for routing, for example llama-3:8b" }),
);

const host = custom(
  z
    .string({ error: "Input should be a string" })
    // No URL can name a zone, so neither a client nor the health check would reach it.
    .regex(/^(?!-)[A-Za-z0-9._:-]{1,253}$/, "Input should be an IP address, without a zone, or a host name")
    // llama-server would listen on a Unix socket of that name.
    .refine((value) => !/\.sock$/i.test(value), "Input should not end with '.sock': that names a Unix socket")
    .meta({ description: "Address to bind to" }),
);

/** An HTTP header carries the key, so it is printable ASCII. */
const apiKey = custom(
  z
    .string({ error: "Input should be a string" })
    .min(1, "Input should not be empty")
    .max(1024, "Input should have at most 1024 characters")
    .regex(/^[\x20-\x7e]*$/, "Input should be printable ASCII: an HTTP header carries it")
    .refine((key) => key.trim() === key, "Input should not begin or end with a space: an HTTP header loses it")
    .meta({ description: "API key of this instance" }),
);

const port = optional(integer("Port; the next free one from START_PORT when unset", 1, 65_535));

const backendType = <const T extends BackendType>(name: T) =>
  custom(z.enum([name], { error: `Input should be '${name}'` }).meta({ description: "Backend type identifier" }));

const priority = withDefault(
  integer("With MAX_PARALLEL_STARTS, which instance starts first: the higher one", -1000, 1000),
  0,
);

const common = { host: withDefault(host, "0.0.0.0"), port, api_key: apiKey, priority } as const;

export const llamacppFields = {
  backend_type: withDefault(backendType("llamacpp"), "llamacpp"),
  model: plainText("Full path to the GGUF model file"),
  alias,
  threads: withDefault(integer("Number of CPU threads; -1 lets llama-server choose", -1, 4096), 1),
  n_gpu_layers: withDefault(integer("Layers to offload to the GPU; 999 is all", -1, MAX_INT), 999),
  temp: withDefault(number("Sampling temperature", 0, 2), 1),
  top_p: withDefault(number("Top-p sampling", 0, 1), 1),
  top_k: withDefault(integer("Top-k sampling; 0 is off", 0, MAX_INT), 0),
  min_p: withDefault(number("Min-p sampling", 0, 1), 0),
  ctx_size: withDefault(integer("Context size in tokens; 0 takes the model's own", 0, MAX_INT), 131_072),
  chat_template_file: optional(plainText("Path to a Jinja chat template")),
  special: withDefault(flag("Print special tokens too"), false),
  ...common,
} as const satisfies Fields;

const devices = ["auto", "cuda", "mps", "cpu"] as const;
const dtypes = ["auto", "float16", "bfloat16", "float32"] as const;

const huggingface = {
  model_id: custom(
    z
      .string({ error: "Input should be a string" })
      .min(1, "Input should not be empty")
      .max(4096, "Input should have at most 4096 characters")
      .refine((value) => !CONTROL.test(value), "Input should not contain control characters")
      .refine((value) => !value.startsWith("-"), "Input should not start with '-'")
      .meta({ description: "HuggingFace model id or a local path" }),
  ),
  alias,
  device: withDefault(choice("Device; auto is CUDA, then MPS, then CPU", devices), "auto"),
  dtype: withDefault(choice("Data type of the weights", dtypes), "auto"),
} as const;

export const huggingfaceCausalFields = {
  backend_type: backendType("huggingface_causal"),
  ...huggingface,
  max_length: withDefault(integer("Maximum sequence length in tokens", 1, MAX_INT), 4096),
  trust_remote_code: withDefault(flag("Run code that comes with the model"), false),
  use_flash_attention: withDefault(flag("Use Flash Attention 2 if it is available"), true),
  ...common,
} as const satisfies Fields;

/** The Python program stores a list without labels where none were given. */
const unlessEmpty = (value: unknown): unknown => (Array.isArray(value) && value.length === 0 ? null : value);

export const huggingfaceClassificationFields = {
  backend_type: backendType("huggingface_classification"),
  ...huggingface,
  max_length: withDefault(integer("Maximum sequence length in tokens", 1, MAX_INT), 512),
  labels: optional({
    schema: z
      .array(text("Label").schema, { error: "Input should be a list of strings" })
      .min(1, "Input should not be empty")
      .meta({ description: "Label names; the model's own when unset" }),
    coerce: unlessEmpty,
  }),
  trust_remote_code: withDefault(flag("Run code that comes with the model"), false),
  ...common,
} as const satisfies Fields;

export const configFields: Record<BackendType, Fields> = {
  llamacpp: llamacppFields,
  huggingface_causal: huggingfaceCausalFields,
  huggingface_classification: huggingfaceClassificationFields,
};

export const llamacppConfig = requestSchema(llamacppFields).meta({ id: "LlamaCppConfigRequest" });
export const huggingfaceCausalConfig = requestSchema(huggingfaceCausalFields).meta({
  id: "HuggingFaceCausalConfigRequest",
});
export const huggingfaceClassificationConfig = requestSchema(huggingfaceClassificationFields).meta({
  id: "HuggingFaceClassificationConfigRequest",
});

export type LlamaCppConfig = z.output<typeof llamacppConfig>;
export type HuggingFaceCausalConfig = z.output<typeof huggingfaceCausalConfig>;
export type HuggingFaceClassificationConfig = z.output<typeof huggingfaceClassificationConfig>;
export type InstanceConfig = LlamaCppConfig | HuggingFaceCausalConfig | HuggingFaceClassificationConfig;

export const configSchemas = {
  llamacpp: llamacppConfig,
  huggingface_causal: huggingfaceCausalConfig,
  huggingface_classification: huggingfaceClassificationConfig,
} as const satisfies Record<BackendType, z.ZodType<InstanceConfig>>;

/** The config as a request has it. Parsing goes by {@link parseConfig}, which knows old configs too. */
export const instanceConfigRequest = z
  .union([llamacppConfig, huggingfaceCausalConfig, huggingfaceClassificationConfig])
  .meta({
    id: "InstanceConfigRequest",
    description: [
      "The config of one of the backends, told apart by `backend_type`. Without that, one with `model` is llamacpp;",
      "with `model_id` and `labels` it is huggingface_classification, with `model_id` alone huggingface_causal.",
      'A field with a default may be absent, null or `""`. Numbers and booleans may come as strings.',
    ].join(" "),
  });

/** The config as the API answers with it. */
export const instanceConfig = z
  .discriminatedUnion("backend_type", [
    answerSchema(llamacppFields).meta({ id: "LlamaCppConfig" }),
    answerSchema(huggingfaceCausalFields).meta({ id: "HuggingFaceCausalConfig" }),
    answerSchema(huggingfaceClassificationFields).meta({ id: "HuggingFaceClassificationConfig" }),
  ])
  .meta({ id: "InstanceConfig", description: "The config of one of the backends, told apart by backend_type" });

const present = (value: unknown): boolean => value !== undefined && value !== null && value !== "";

/** What an absent `backend_type` means: configs from before there were several backends have none. */
export const inferBackendType = (config: Record<string, unknown>): BackendType => {
  if (present(config.model)) return "llamacpp";
  if (!present(config.model_id)) return "llamacpp";
  return present(unlessEmpty(config.labels)) ? "huggingface_classification" : "huggingface_causal";
};

const isBackendType = (value: unknown): value is BackendType => backendTypes.some((name) => name === value);

export interface ConfigIssue {
  path: (string | number)[];
  /** zod's issue, for whoever renders it. */
  issue: z.core.$ZodIssue;
  input: unknown;
}

export type ParsedConfig =
  | { success: true; config: InstanceConfig; unknownKeys: string[] }
  | { success: false; issues: ConfigIssue[] };

const pathOf = (issue: z.core.$ZodIssue): (string | number)[] =>
  issue.path.map((key) => (typeof key === "number" ? key : String(key)));

const valueAt = (value: unknown, path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<string | number, unknown>)[key] : undefined,
    value,
  );

const noObject = (given: unknown): ConfigIssue => {
  const message = "Input should be an object";
  return {
    path: [],
    input: given,
    issue: { code: "invalid_type", expected: "object", path: [], message, input: given },
  };
};

const unknownType = (given: unknown): ConfigIssue => {
  const path = ["backend_type"];
  const message = `Input should be one of ${backendTypes.map((name) => `'${name}'`).join(", ")}`;
  return {
    path,
    input: given,
    issue: { code: "invalid_value", values: [...backendTypes], path, message, input: given },
  };
};

/** Of a backend that nobody knows, only what is given, or needed by every backend, can be said to be wrong. */
const isOfAnyBackend = (name: string, raw: Record<string, unknown>): boolean =>
  Object.hasOwn(raw, name) || backendTypes.every((type) => Object.hasOwn(configFields[type], name));

/** Validates a config of any age: fills defaults, drops and names unknown keys, or names each field that is wrong. */
export const parseConfig = (raw: unknown): ParsedConfig => {
  if (!isRecord(raw)) return { success: false, issues: [noObject(raw)] };
  const given = raw.backend_type;
  const known = !present(given) || isBackendType(given);
  const type = isBackendType(given) ? given : inferBackendType(raw);
  const result = configSchemas[type].safeParse({ ...raw, backend_type: type });
  const wrong = (result.error?.issues ?? []).map((issue): ConfigIssue => {
    const path = pathOf(issue);
    return { path, issue, input: valueAt(raw, path) };
  });
  if (!known) {
    const others = wrong.filter(({ path }) => isOfAnyBackend(String(path[0]), raw));
    return { success: false, issues: [unknownType(given), ...others] };
  }
  if (!result.success) return { success: false, issues: wrong };
  const unknownKeys = Object.keys(raw).filter((key) => !Object.hasOwn(configFields[type], key));
  return { success: true, config: result.data, unknownKeys };
};
