import type { ListedInstance } from "../../src/contract/index.ts";

/** An instance as a list has it. */
export const listed = (id: string, alias: string, more: Partial<ListedInstance> = {}): ListedInstance => ({
  id,
  config: { alias, backend_type: "llamacpp" },
  status: "stopped",
  port: null,
  pid: null,
  created_at: "2025-11-24T10:00:00.000Z",
  started_at: null,
  error_message: null,
  retry_count: 0,
  desired: "stopped",
  failure: null,
  restarts: 0,
  supported_endpoints: [],
  loading: null,
  log_file: null,
  ...more,
});
