import { backendOf } from "../backends/index.ts";
import type { Instance, InstanceConfig, InstanceFailure, InstanceStatus, LoadingProgress } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import type { LogDisk } from "../logs/log-disk.ts";
import { asUtc, type Intent, type StoredInstance } from "../store/stored-instance.ts";
import type { EventStream, StatusCause } from "./events.ts";
import { isAtRest, nextStatus, type Transition } from "./status-transitions.ts";

/** What is seen of the process of an instance, and of its failures. */
export interface Observed {
  port: number | null;
  pid: number | null;
  started_at: string | null;
  error_message: string | null;
  retry_count: number;
  failure: InstanceFailure | null;
  restarts: number;
  loading: LoadingProgress | null;
}

/** Of an instance that has no process. */
export const NO_PROCESS = {
  port: null,
  pid: null,
  started_at: null,
  loading: null,
} as const satisfies Partial<Observed>;

/** What is left of failures after a stop: how often it had crashed stays to be seen. */
export const NO_FAULT = { error_message: null, retry_count: 0, failure: null } as const satisfies Partial<Observed>;

/**
 * What an instance is: its config, what should be (`intent`) and what is. Each change is published with its cause. A
 * change of status goes by the table of status-transitions.ts.
 */
export class InstanceState {
  readonly id: string;
  private status: InstanceStatus;
  private seen: Observed;
  private currentConfig: InstanceConfig;
  private currentIntent: Intent;

  constructor(
    private readonly stored: StoredInstance,
    readonly log: Pick<InstanceLog, "newestFile">,
    private readonly logDisk: Pick<LogDisk, "problem">,
    private readonly events: EventStream,
  ) {
    this.id = stored.id;
    this.currentConfig = stored.config;
    this.currentIntent = stored.desired;
    const failed = stored.status === "failed";
    this.status = failed ? "failed" : "stopped";
    const { error_message, retry_count, failure, restarts } = stored;
    this.seen = {
      ...NO_PROCESS,
      error_message: failed ? error_message : null,
      retry_count: failed ? retry_count : 0,
      failure,
      restarts,
    };
  }

  get config(): InstanceConfig {
    return this.currentConfig;
  }

  set config(config: InstanceConfig) {
    this.currentConfig = config;
    this.publish(null);
  }

  get intent(): Intent {
    return this.currentIntent;
  }

  set intent(intent: Intent) {
    if (intent === this.currentIntent) return;
    this.currentIntent = intent;
    this.publish(null);
  }

  get current(): InstanceStatus {
    return this.status;
  }

  get observed(): Readonly<Observed> {
    return this.seen;
  }

  /** As the API shows it. */
  get view(): Instance {
    const { id, config, status, seen } = this;
    const logProblem = isAtRest(status) ? null : this.logDisk.problem;
    return {
      id,
      config,
      status,
      desired: this.intent,
      port: seen.port,
      pid: seen.pid,
      created_at: asUtc(this.stored.created_at),
      started_at: seen.started_at,
      error_message: seen.error_message ?? logProblem,
      retry_count: seen.retry_count,
      failure: seen.failure,
      restarts: seen.restarts,
      supported_endpoints: [...backendOf(config).capabilities(config).endpoints],
      loading: seen.loading,
      log_file: this.log.newestFile,
    };
  }

  /** As it is stored: what a person wants, and of what was seen only what a later boot needs. */
  get toStore(): StoredInstance {
    const { id, config, intent, seen } = this;
    const failed = this.status === "failed";
    return {
      id,
      config,
      status: failed ? "failed" : intent === "running" ? "running" : "stopped",
      desired: intent,
      port: null,
      pid: null,
      created_at: this.stored.created_at,
      started_at: null,
      error_message: failed ? seen.error_message : null,
      retry_count: failed ? seen.retry_count : 0,
      failure: seen.failure && { ...seen.failure, next_attempt_at: null },
      restarts: seen.restarts,
      supported_endpoints: [...backendOf(config).capabilities(config).endpoints],
      kept: this.stored.kept,
    };
  }

  /**
   * Something has happened to its process.
   * @param transition null where the status stays
   * @param reason for the daemon's log
   * @throws where the transition is not allowed from here
   */
  change(transition: Transition | null, reason: string, observed: Partial<Observed>): void {
    const from = this.status;
    const next = transition === null ? from : nextStatus(from, transition);
    if (next === null) throw new Error(`instance ${this.id} cannot ${transition} while ${from}`);
    this.status = next;
    this.seen = { ...this.seen, ...observed };
    this.publish({ transition, from, reason });
  }

  /** A figure has changed, and nothing has happened. */
  note(observed: Partial<Observed>): void {
    this.seen = { ...this.seen, ...observed };
    this.publish(null);
  }

  /** What the view takes from outside has changed: the disk of the logs is full, say. */
  touch(): void {
    this.publish(null);
  }

  private publish(cause: StatusCause | null): void {
    this.events.publish({ type: "changed", instance: this.view, cause });
  }
}
