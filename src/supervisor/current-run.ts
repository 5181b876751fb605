import { backendOf } from "../backends/index.ts";
import type { Endpoint } from "../common/endpoint.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import type { ModelServer } from "../model-server/model-server.ts";
import type { RuntimeTracker } from "../runtime/runtime-tracker.ts";
import type { AttemptContext } from "./attempt.ts";
import { OperationFailedError, type OperationVerb } from "./errors.ts";
import type { Host } from "./host.ts";
import { type InstanceState, NO_FAULT } from "./instance-state.ts";
import type { IntentKeeper } from "./intent.ts";
import { Run, type RunStart } from "./run.ts";
import { isLate } from "./waiting.ts";

/** Beyond the grace time, for the system to clear away what was killed. */
const STOP_SLACK_MS = 8000;

/** All of one instance that a run touches. */
export interface RunParts {
  readonly host: Host;
  readonly state: InstanceState;
  readonly intent: IntentKeeper;
  readonly log: InstanceLog;
  readonly tracker: RuntimeTracker;
}

/** The run that an instance has now, or none: begun, asked to stop, waited for. */
export class CurrentRun {
  private run: Run | null = null;

  constructor(private readonly parts: RunParts) {}

  /** Whether it has a process, or is about to have one, or is being cleared away. */
  get isActive(): boolean {
    return this.run !== null;
  }

  /** Resolves when nothing of the present run is left. */
  get over(): Promise<void> {
    return this.run?.done ?? Promise.resolve();
  }

  /** Where its model server answers; null while it does not. */
  get endpoint(): Endpoint | null {
    return this.parts.state.current === "running" ? (this.run?.endpoint ?? null) : null;
  }

  /** The log says that the server can answer. */
  hintReady(): void {
    this.run?.hintReady();
  }

  /** Takes over what an earlier daemon left running. */
  adopt(server: ModelServer): void {
    const { record, pid } = server;
    const { state } = this.parts;
    state.change("adopt", `process ${pid} was left by an earlier daemon`, {
      port: record.port,
      pid,
      started_at: record.started_at,
      error_message: null,
      retry_count: record.retry_count,
    });
    if (record.status === "running")
      this.parts.state.change("adopt-running", "it was running", { retry_count: record.crashes });
    this.begin({ adopted: server });
    if (record.status !== "stopping") return;
    this.parts.state.change("stop", "a stop was under way", {});
    this.run?.stop();
  }

  begin(start: Omit<RunStart, "saved">): void {
    const { host, state, log, tracker, intent } = this.parts;
    const { config } = state;
    const context: AttemptContext = { host, backend: backendOf(config), config, state, log, tracker };
    const run = new Run(context, { ...start, saved: () => intent.saved });
    this.run = run;
    void run.done.finally(() => {
      if (this.run === run) this.run = null;
    });
  }

  /** Lets go of the process without touching it: the daemon ends while its models go on. */
  detach(): void {
    this.run?.detach();
  }

  /** Resolves when it is over, or with false when what it is to end outlives SIGKILL. */
  async overOrStuck(): Promise<boolean> {
    return (await this.run?.overOrStuck()) ?? true;
  }

  /** What is being ended does not get its grace time any more. */
  hurry(): void {
    this.run?.hurry();
  }

  /** @param again whether a stop that is already under way is hurried */
  requestStop(again: boolean, by: string): void {
    const { current } = this.parts.state;
    if (current === "stopping") {
      if (again) this.hurry();
      return;
    }
    // A run that is over, and is about to be forgotten, can be told nothing any more.
    if (current === "stopped") return;
    this.parts.state.change("stop", `asked to stop by ${by}`, {});
    // Failed: nothing runs, so that it is stopped at once.
    if (this.run === null || this.run.isFinished) this.parts.state.change("ended", "nothing ran", NO_FAULT);
    else this.run.stop();
  }

  /** @throws OperationFailedError where it outlives SIGKILL */
  async whenStopped(verb: OperationVerb): Promise<void> {
    const { run } = this;
    if (run === null) return;
    const limit = this.parts.host.stopTimeout + STOP_SLACK_MS;
    if (await isLate(run.done, limit)) {
      const reason = this.parts.state.observed.error_message ?? `it has not ended within ${limit / 1000} s`;
      throw new OperationFailedError(verb, reason);
    }
  }
}
