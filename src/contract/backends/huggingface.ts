import { choice, flag, integer, withDefault } from "../fields.ts";
import { alias, MAX_INT, model } from "./common.ts";

/** Fields that the backends of the Python server share. */

const devices = ["auto", "cuda", "mps", "cpu"] as const;
const dtypes = ["auto", "float16", "bfloat16", "float32"] as const;

export const modelFields = {
  model_id: model("HuggingFace model id or a local path"),
  alias,
  device: withDefault(choice("Device; auto is CUDA, then MPS, then CPU", devices), "auto"),
  dtype: withDefault(choice("Data type of the weights", dtypes), "auto"),
} as const;

export const maxLength = (fallback: number) =>
  withDefault(integer("Maximum sequence length in tokens", 1, MAX_INT), fallback);

export const trustRemoteCode = withDefault(flag("Run code that comes with the model"), false);

/** The Python program stores a list without labels where none were given. */
export const unlessEmpty = (value: unknown): unknown => (Array.isArray(value) && value.length === 0 ? null : value);
