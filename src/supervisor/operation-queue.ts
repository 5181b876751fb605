import { InstanceNotFoundError, type OperationVerb, OvertakenError } from "./errors.ts";

/** What ends an operation that waits. A deletion needs an instance at rest, so it waits its turn. */
export type Overtaker = "a stop" | "another restart" | "the end of the daemon";

/** The moment at which an operation was asked for. */
export interface Moment {
  /** Whether a stop, a restart or the daemon's end came after it. */
  readonly isOvertaken: boolean;
  /** @throws OvertakenError where it was overtaken */
  check(verb: OperationVerb): void;
}

/** Operations on one instance go one after another; a stop, a restart and the daemon's end overtake those that wait. */
export class OperationQueue {
  private queue: Promise<unknown> = Promise.resolve();
  private overtakings = 0;
  private last: Overtaker = "a stop";
  /** The daemon ends: what waits for its turn begins nothing any more. */
  isClosed = false;
  private isRetired = false;

  /** Runs `operation` when those before it are done. @throws InstanceNotFoundError behind a deletion */
  take<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.queue.then(() => {
      this.checkThere();
      return operation();
    });
    this.queue = result.catch(() => undefined);
    return result;
  }

  now(): Moment {
    const { overtakings } = this;
    const isOvertaken = (): boolean => this.overtakings !== overtakings;
    const refusal = (verb: OperationVerb): OvertakenError => this.refusal(verb);
    return {
      get isOvertaken() {
        return isOvertaken();
      },
      check(verb) {
        if (isOvertaken()) throw refusal(verb);
      },
    };
  }

  /** @returns the moment of the overtaking operation */
  overtake(by: Overtaker): Moment {
    this.last = by;
    this.overtakings += 1;
    return this.now();
  }

  /** The instance is deleted: what waits for its turn finds nothing any more. */
  retire(): void {
    this.isRetired = true;
  }

  /** @throws InstanceNotFoundError where the instance was deleted meanwhile */
  checkThere(): void {
    if (this.isRetired) throw new InstanceNotFoundError();
  }

  close(): void {
    this.isClosed = true;
    this.overtake("the end of the daemon");
  }

  refusal(verb: OperationVerb): OvertakenError {
    const by = verb === "start" && this.last === "another restart" ? "a restart" : this.last;
    return new OvertakenError(`The ${verb} was overtaken by ${by}`);
  }
}
