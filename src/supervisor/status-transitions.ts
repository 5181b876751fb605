import type { InstanceStatus } from "../contract/index.ts";

/** Which status may follow which, and why: the only place that knows. */

export type Transition =
  /** It was asked to run. */
  | "start"
  /** The backend's own health check answers, and it is our process that does. */
  | "ready"
  /** It will not be tried again. */
  | "fail"
  /** The process of a running instance ended by itself; it will be started again. */
  | "crash"
  /** It was asked to end. */
  | "stop"
  /** Nothing of it is left. */
  | "ended"
  /** A daemon that came back found the process as the last one had left it. */
  | "adopt-running"
  /** A process that an earlier daemon left is taken over. */
  | "adopt";

const table: Record<InstanceStatus, Partial<Record<Transition, InstanceStatus>>> = {
  stopped: { start: "starting", adopt: "starting", fail: "failed", stop: "stopping" },
  starting: { ready: "running", "adopt-running": "running", fail: "failed", stop: "stopping" },
  running: { crash: "starting", fail: "failed", stop: "stopping" },
  stopping: { ended: "stopped" },
  failed: { start: "starting", adopt: "starting", fail: "failed", stop: "stopping" },
};

/** The status after a transition; null where it is not allowed from here. */
export const nextStatus = (status: InstanceStatus, transition: Transition): InstanceStatus | null =>
  table[status][transition] ?? null;

/** Statuses in which nothing of an instance runs and its config may change. */
export const isAtRest = (status: InstanceStatus): boolean => status === "stopped" || status === "failed";

/** The level of a transition in the daemon's log: a crash is tried again, a failure is not. */
export const levelOf = (transition: Transition | null): "info" | "warn" | "error" =>
  transition === "fail" ? "error" : transition === "crash" ? "warn" : "info";
