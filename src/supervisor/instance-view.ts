import { backendOf } from "../backends/index.ts";
import type { Instance, InstanceConfig, InstanceStatus } from "../contract/index.ts";
import { asUtc, type StoredInstance } from "../store/config-file.ts";
import type { Observed } from "./run.ts";

/** An instance as the API shows it and as the configuration holds it. Pure. */

export interface InstanceFacts {
  id: string;
  config: InstanceConfig;
  status: InstanceStatus;
  desired: StoredInstance["desired"];
  observed: Observed;
  createdAt: string;
  logFile: string | null;
}

/** What is known of a stored instance before anything is looked at: why it failed, and nothing of its process. */
export const storedObserved = ({
  status,
  error_message,
  retry_count,
  failure,
  restarts,
}: StoredInstance): Observed => ({
  port: null,
  pid: null,
  started_at: null,
  error_message: status === "failed" ? error_message : null,
  retry_count: status === "failed" ? retry_count : 0,
  failure,
  restarts,
  loading: null,
});

export const viewOf = ({ id, config, status, desired, observed, createdAt, logFile }: InstanceFacts): Instance => ({
  id,
  config,
  status,
  desired,
  port: observed.port,
  pid: observed.pid,
  created_at: asUtc(createdAt),
  started_at: observed.started_at,
  error_message: observed.error_message,
  retry_count: observed.retry_count,
  failure: observed.failure,
  restarts: observed.restarts,
  supported_endpoints: [...backendOf(config).supportedEndpoints],
  loading: observed.loading,
  log_file: logFile,
});

export const storedOf = (view: Instance, desired: StoredInstance["desired"]): StoredInstance => {
  const { loading: _, log_file: __, ...stored } = view;
  return { ...stored, desired };
};
