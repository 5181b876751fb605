import { backendOf } from "../backends/index.ts";
import { definitions } from "../contract/index.ts";

/** What the API's description shows. No key in it is a real one. */

/** Of each backend. */
export const exampleConfigs = Object.fromEntries(
  definitions.map(({ type, title, example }) => [type, { summary: title, value: { config: example } }]),
);

const [{ example: exampleConfig }] = definitions;

const id = "6f1c2d0e-6a52-4b54-9a5c-0f6f3c1e7d11";
const time = "2026-01-31T12:00:00.000Z";

export const exampleInstance = {
  id,
  config: exampleConfig,
  status: "running",
  desired: "running",
  port: 3500,
  pid: 4242,
  created_at: time,
  started_at: time,
  error_message: null,
  retry_count: 0,
  failure: null,
  restarts: 0,
  supported_endpoints: backendOf(exampleConfig).capabilities(exampleConfig).endpoints,
  loading: null,
  log_file: "/srv/solar-host/logs/llama-3_8b_1769860800.log",
};

export const exampleLogStarts = [
  { first: 0, last: 411, started_at: time, ended_at: time },
  { first: 412, last: 530, started_at: time, ended_at: null },
];

export const examplePrunedLogs = { removed: ["llama-3_8b_1769860800.log"], freed_bytes: 1_048_576 };

export const exampleAnswer = (done: string) => ({
  instance: exampleInstance,
  message: `Instance ${id} ${done} successfully`,
});

export const exampleState = {
  instance_id: id,
  busy: true,
  active_slots: 1,
  slot_id: 0,
  task_id: 7,
  phase: "generating",
  prefill_progress: null,
  prefill_prompt_tokens: 12,
  generated_tokens: 42,
  decode_tps: 55.3,
  decode_ms_per_token: 18.1,
  checkpoint_index: null,
  checkpoint_total: null,
  timestamp: time,
  slots: [
    {
      slot_id: 0,
      task_id: 7,
      phase: "generating",
      prefill_progress: null,
      prefill_prompt_tokens: 12,
      generated_tokens: 42,
      decode_tps: 55.3,
      decode_ms_per_token: 18.1,
      checkpoint_index: null,
      checkpoint_total: null,
    },
  ],
};

export const exampleGeneration = {
  instance_id: id,
  slot_id: 0,
  task_id: 7,
  prompt_tokens: 12,
  cached_tokens: 0,
  generated_tokens: 120,
  decode_tps: 55.3,
  decode_ms_per_token: 18.1,
  started_at: time,
  finished_at: "2026-01-31T12:00:02.200Z",
};

export const exampleLines = [
  { seq: 0, timestamp: time, line: "load_tensors: offloaded 33/33 layers to GPU" },
  { seq: 1, timestamp: time, line: "srv  llama_server: model loaded" },
];

export const exampleLogFrames = {
  line: { summary: "A line", value: exampleLines[0] },
  gap: { summary: "Lines that are no longer there", value: { type: "gap", from: 0, to: 4095 } },
  error: { summary: "The only frame where there is no such instance", value: { error: "Instance not found" } },
};

export const exampleStateFrames = {
  first: { summary: "The first frame", value: { type: "instance_state", data: exampleState } },
  change: {
    summary: "Each change",
    value: { seq: 12, timestamp: time, type: "instance_state", data: exampleState },
  },
  error: exampleLogFrames.error,
};

export const exampleEventFrames = {
  instance: { summary: "An instance has changed", value: { type: "instance", instance: exampleInstance } },
  removed: { summary: "An instance was deleted", value: { type: "removed", id } },
  states: { summary: "What model servers are doing", value: { type: "states", states: [exampleState] } },
  event: {
    summary: "With log=1: something happened",
    value: {
      type: "event",
      event: {
        seq: 7,
        time,
        type: "running",
        instance_id: id,
        alias: "llama-3:8b",
        detail: "its health check answers",
      },
    },
  },
};

export const exampleKeyRequest = { name: "grafana", scopes: ["read"], expires_at: null };

export const exampleKey = {
  id: "0c7b6a5e-7a53-4c0e-9a39-2f4d1b1f6b11",
  name: "grafana",
  scopes: ["read"],
  prefix: "sk-solar-Wm3xQ",
  created_at: time,
  expires_at: null,
  last_used_at: time,
};

export const exampleKeyCreated = { ...exampleKey, last_used_at: null, key: "sk-solar-Wm3xQ…" };

export const exampleMemory = {
  used_gb: 18.42,
  total_gb: 23.99,
  percent: 76.78,
  memory_type: "VRAM",
  devices: [{ index: 0, name: "NVIDIA GeForce RTX 4090", used_gb: 18.42, total_gb: 23.99, percent: 76.78 }],
};

export const exampleFieldError = {
  detail: [
    {
      type: "less_than_equal",
      loc: ["body", "config", "temp"],
      msg: "Input should be less than or equal to 2",
      input: 9,
    },
  ],
};
