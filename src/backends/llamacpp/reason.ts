import { type CauseRules, causeOf, type DeathCause } from "../death-cause.ts";
import { COMMON_REASONS, pickReasonLines, type ReasonRules } from "../reason-lines.ts";
import { bodyStart, withoutColours } from "./line.ts";

/** Why a llama-server died, from what builds of 2025 and 2026 print. */

/** "srv    load_model: ", "cmn  common_init_: ", "gguf_init_from_file: ": the function that printed the line. */
const PRINTER = /^(?:(?:srv|cmn|slot|que|main|llama_server) +\S+ +|(?:main|[a-z0-9]+_[a-z0-9_]+): +)/;

const clean = (line: string): string => {
  const plain = withoutColours(line);
  return plain.slice(bodyStart(plain)).trimStart().replace(PRINTER, "");
};

const RULES: ReasonRules = {
  clean,
  patterns: [
    ...COMMON_REASONS,
    /^couldn't bind HTTP server socket/,
    /^couldn't bind to server socket/,
    /^error while handling (?:argument|environment variable)/,
    /^(?:error: )?(?:invalid argument|unknown argument|invalid parameter for argument)/,
    /out of memory/i,
    /(?:failed|unable) to allocate/,
    /^failed to open GGUF file/,
    /^invalid magic characters/,
    /^failed to read (?:magic|header|key-value pairs|tensor info)/,
    // The general sentence is said of every model that does not load; what is behind it tells more.
    /^error loading model: (?!llama_model_loader: failed to load model)/,
    /requires flash_attn to be enabled/,
    /^failed to apply lora adapter: (.*)/,
    /^failed to load lora adapter '/,
    /^failed to load (?:multimodal|draft) model, '/,
    /^failed to create context with model/,
    /^failed to load model,? '/,
    /^failed to parse grammar/,
    /^tools setup failed/,
    /^static assets path not found/,
    /^error: parser: (.*)/,
    /^Error: (.*)/,
    /^error: (Unknown .*)/,
    /^error: the supplied chat template is not supported/,
    /GGML_ASSERT\(/,
    /^CUDA error/,
    /^what\(\): /,
  ],
  weak: [/^error loading model:/, /^failed to apply template/, /^terminate called/, /^exiting due to/],
  noise:
    /^(?:operator\(\): cleaning up before exit|exiting due to|warning: (?:no usable GPU|one possible reason|consult docs)|to show complete usage)/,
};

export const llamaReasonLines = (lines: readonly string[]): string[] => pickReasonLines(lines, RULES);

const CAUSES: CauseRules = {
  lasting: [
    /invalid magic characters/,
    /failed to read (?:magic|header|key-value pairs|tensor info)/,
    /model is corrupted or incomplete/,
    /unknown (?:model architecture|tokenizer)/,
    /error loading model: .*(?:key not found in model|tensor '.*' (?:not found|has wrong shape)|(?:illegal|invalid) split)/,
    /error while handling (?:argument|environment variable)|(?:invalid|unknown) argument:/,
    /the supplied chat template is not supported/,
    /failed to parse grammar/,
    /failed to load (?:lora adapter|multimodal model|draft model)/,
    /requires flash_attn to be enabled/,
    /tools setup failed|static assets path not found/,
  ],
  memory: [
    /insufficient memory/,
    /(?:failed|unable) to allocate .*buffer/,
    /out of memory/i,
    /std::bad_alloc/,
    /ErrorOutOfDeviceMemory/,
  ],
  bind: [/couldn't bind (?:HTTP|to) server socket/],
  remedies: [
    [/kv cache|initialize the context|create(?:_| )context|compute buffers?/, "lower ctx_size"],
    [/(?:CUDA|ROCm|Vulkan|Metal)/i, "lower n_gpu_layers, or take a smaller model"],
  ],
  remedy: "take a smaller model, or lower ctx_size",
};

export const llamaDeathCause = (lines: readonly string[]): DeathCause | null =>
  causeOf(lines.map(withoutColours), CAUSES);
