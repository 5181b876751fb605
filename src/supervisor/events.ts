import type { GenerationMetrics, Instance, InstanceConfig } from "../contract/index.ts";
import type { StateChange } from "../runtime/runtime-tracker.ts";
import type { Transition } from "./status-transitions.ts";

/**
 * Everything that happens to instances, in the order in which it happens. The journal, `config.json`, the sockets and
 * waiting requests read it; none of them keeps a copy of what an instance is.
 */
export type SupervisorEvent =
  | { type: "created"; instance: Instance }
  | {
      type: "changed";
      instance: Instance;
      /** Null where the config, the wish or a figure has changed and nothing has happened to its process. */
      cause: StatusCause | null;
    }
  | { type: "removed"; id: string; config: InstanceConfig; withLogs: boolean }
  | { type: "state"; id: string; change: StateChange }
  | { type: "generation"; generation: GenerationMetrics };

/** What happened to the process of an instance. */
export interface StatusCause {
  /** Null where its status stays. */
  transition: Transition | null;
  from: Instance["status"];
  /** For a person, without the name of the instance. */
  reason: string;
}

export type EventListener = (event: SupervisorEvent) => void;

export class EventStream {
  private readonly listeners = new Set<EventListener>();

  /** @returns how to end it */
  subscribe(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * A listener that throws does not reach what publishes, a stop in the middle of it say, nor the other listeners: that
   * is a fault that was not foreseen, and is told as one.
   */
  publish(event: SupervisorEvent): void {
    for (const listener of [...this.listeners]) {
      // It was ended by one that was told before it.
      if (!this.listeners.has(listener)) continue;
      try {
        listener(event);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /**
   * Resolves when `isThere` gives true, looked at now and after each event of that instance, or after so many
   * milliseconds.
   * @throws what `isThere` throws
   */
  until(id: string, isThere: () => boolean, ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        clearTimeout(timer);
        end();
        outcome();
      };
      const look = (): void => {
        try {
          if (isThere()) settle(resolve);
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const timer = setTimeout(() => settle(resolve), ms);
      const end = this.subscribe((event) => {
        if (event.type === "changed" && event.instance.id === id) look();
      });
      look();
    });
  }
}
