import { systemProblem } from "../common/system-error.ts";

/** What an operation on an instance can end in, besides success; the server gives each its status code. */

export class InstanceNotFoundError extends Error {
  constructor() {
    super("Instance not found");
  }
}

/** The operation needs an instance at rest. */
export class InstanceActiveError extends Error {
  constructor(verb: "update" | "delete") {
    super(`Cannot ${verb} running instance. Stop it first.`);
  }
}

/** The new config could not run: nothing was changed. */
export class ConfigRefusedError extends Error {
  constructor(reason: string) {
    super(`Cannot run with the new config, so nothing was changed: ${reason}`);
  }
}

/** A later operation took its place. */
export class OvertakenError extends Error {}

/** A person has stopped it, so that a request does not start it. */
export class InstanceStoppedError extends Error {
  constructor() {
    super("The instance is stopped. Start it first.");
  }
}

/** It goes on starting, and is not waited for any longer. */
export class NotReadyError extends Error {
  constructor(waitMs: number) {
    super(`The instance is not ready after ${waitMs / 1000} s; it goes on starting`);
  }
}

export type OperationVerb = "start" | "stop" | "restart";

/** The operation was tried and did not work. */
export class OperationFailedError extends Error {
  constructor(
    readonly verb: OperationVerb,
    readonly reason: string,
  ) {
    super(`Failed to ${verb} instance: ${reason}`);
  }
}

/** What was asked for could not be made durable, so it was not done. */
export class NotSavedError extends Error {
  constructor(cause: unknown) {
    super(`Cannot save the configuration: ${systemProblem(cause)}`);
  }
}

/** Log files of deleted instances could not be removed, or not be told from others. */
export class NotPrunedError extends Error {
  constructor(cause: unknown) {
    super(`Cannot prune the logs: ${systemProblem(cause)}`);
  }
}

/** The daemon is ending. */
export class ShuttingDownError extends Error {
  constructor() {
    super("The daemon is shutting down");
  }
}
