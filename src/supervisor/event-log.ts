import type { InstanceEvent } from "../contract/index.ts";
import type { EventStream, StatusCause, SupervisorEvent } from "./events.ts";
import type { Transition } from "./status-transitions.ts";

/** What happened to instances, in order, the newest of it kept: what `ctl events` shows. */

const KEPT = 500;

const TYPES: Record<Transition, InstanceEvent["type"] | null> = {
  start: "starting",
  adopt: "adopted",
  "adopt-running": "running",
  ready: "running",
  crash: "crashed",
  fail: "failed",
  stop: "stopping",
  ended: "stopped",
};

const typeOf = ({ transition }: StatusCause): InstanceEvent["type"] | null =>
  transition === null ? null : TYPES[transition];

/** Null for what is no event to a person: a figure that changed, say. */
const happened = (event: SupervisorEvent): Omit<InstanceEvent, "seq" | "time"> | null => {
  switch (event.type) {
    case "created":
      return { type: "created", instance_id: event.instance.id, alias: event.instance.config.alias, detail: null };
    case "removed":
      return { type: "deleted", instance_id: event.id, alias: event.config.alias, detail: null };
    case "changed": {
      const type = event.cause === null ? null : typeOf(event.cause);
      if (type === null) return null;
      const { id, config } = event.instance;
      return { type, instance_id: id, alias: config.alias, detail: event.cause?.reason ?? null };
    }
    default:
      return null;
  }
};

export class EventLog {
  private readonly kept: InstanceEvent[] = [];
  private readonly listeners = new Set<(event: InstanceEvent) => void>();
  private nextSeq = 0;

  constructor(events: EventStream) {
    events.subscribe((event) => {
      const told = happened(event);
      if (told !== null) this.add({ seq: this.nextSeq++, time: new Date().toISOString(), ...told });
    });
  }

  /** What there is, oldest first, and `listener` for each one after it. */
  watch(listener: (event: InstanceEvent) => void): { past: readonly InstanceEvent[]; end: () => void } {
    this.listeners.add(listener);
    return { past: [...this.kept], end: () => this.listeners.delete(listener) };
  }

  private add(event: InstanceEvent): void {
    this.kept.push(event);
    if (this.kept.length > KEPT) this.kept.shift();
    for (const listener of [...this.listeners]) listener(event);
  }
}
