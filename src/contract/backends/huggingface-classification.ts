import { z } from "zod";
import { type Fields, isBlank, optional, text } from "../fields.ts";
import { backendType, exampleFields, instanceFields } from "./common.ts";
import { type ConfigOf, defineBackend } from "./definition.ts";
import { maxLength, modelFields, trustRemoteCode, unlessEmpty } from "./huggingface.ts";

const fields = {
  backend_type: backendType("huggingface_classification"),
  ...modelFields,
  max_length: maxLength(512),
  labels: optional({
    schema: z
      .array(text("Label").schema, { error: "Input should be a list of strings" })
      .min(1, "Input should not be empty")
      .meta({ description: "Label names; the model's own when unset" }),
    coerce: unlessEmpty,
  }),
  trust_remote_code: trustRemoteCode,
  ...instanceFields,
} as const satisfies Fields;

export const huggingfaceClassificationDefinition = defineBackend({
  type: "huggingface_classification",
  title: "HuggingFace, classification",
  schemaName: "HuggingFaceClassification",
  fields,
  implied: {
    words: "with `model_id` and `labels`",
    by: ({ model_id, labels }) => !isBlank(model_id) && !isBlank(unlessEmpty(labels)),
  },
  example: {
    backend_type: "huggingface_classification",
    model_id: "distilbert-base-uncased-finetuned-sst-2-english",
    alias: "sentiment:distilbert",
    device: "auto",
    dtype: "auto",
    max_length: 512,
    labels: ["negative", "positive"],
    trust_remote_code: false,
    ...exampleFields,
  },
});

export type HuggingFaceClassificationConfig = ConfigOf<typeof huggingfaceClassificationDefinition>;
