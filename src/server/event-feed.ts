import type { ServerWebSocket } from "bun";
import type { EventFrame, Instance, InstanceEvent, Memory, RuntimeState } from "../contract/index.ts";
import type { SupervisorEvent } from "../supervisor/events.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { Principal } from "./principal.ts";
import { shownTo } from "./shown-instance.ts";

/**
 * One subscriber of `/events`. Frames hold whole objects, so that a slow subscriber gets the newest of each when it can
 * take more, and is never wrong. Events of the log are never left out.
 */

/** States change with each token; a person sees no more than this. */
const STATES_MS = 100;

type Socket = Pick<ServerWebSocket<unknown>, "send">;

export class EventFeed {
  private readonly changed = new Map<string, Instance | null>();
  private readonly states = new Map<string, RuntimeState>();
  private readonly events: InstanceEvent[] = [];
  private memory: Memory | null = null;
  private timer: Timer | null = null;
  private isFull = false;
  private readonly ends: (() => void)[] = [];
  private readonly shown: (instance: Instance) => Instance;

  /**
   * Sends the snapshot and goes on from there.
   * @param memory as of now; null where it cannot be read
   * @param options the subscriber, and whether the log of events is sent too
   */
  constructor(
    private readonly socket: Socket,
    supervisor: Supervisor,
    memory: Memory | null,
    { asker, withLog }: { asker: Principal; withLog: boolean },
  ) {
    this.shown = (instance) => shownTo(asker, instance);
    const { instances, states, end } = supervisor.watch((event) => this.take(event));
    this.ends.push(end);
    this.send({ type: "snapshot", instances: instances.map(this.shown), states, memory, pulls: [] });
    if (!withLog) return;
    const log = supervisor.log.watch((event) => {
      this.events.push(event);
      this.flush();
    });
    this.ends.push(log.end);
    this.events.push(...log.past);
    this.flush();
  }

  /** The memory of the machine is another now. */
  takeMemory(memory: Memory): void {
    this.memory = memory;
    this.flush();
  }

  /** The socket can take more. */
  drained(): void {
    this.isFull = false;
    this.flush();
    this.sendStatesSoon();
  }

  close(): void {
    for (const end of this.ends) end();
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private take(event: SupervisorEvent): void {
    if (event.type === "state") {
      this.states.set(event.id, event.change.state);
      this.sendStatesSoon();
    } else if (event.type === "removed") {
      this.changed.set(event.id, null);
      this.states.delete(event.id);
      this.flush();
    } else if (event.type !== "generation") {
      this.changed.set(event.instance.id, event.instance);
      this.flush();
    }
  }

  private flush(): void {
    while (!this.isFull) {
      const frame = this.nextFrame();
      if (frame === null) return;
      this.send(frame);
    }
  }

  private nextFrame(): EventFrame | null {
    const event = this.events.shift();
    if (event !== undefined) return { type: "event", event };
    const [first] = this.changed;
    if (first !== undefined) {
      const [id, instance] = first;
      this.changed.delete(id);
      return instance === null ? { type: "removed", id } : { type: "instance", instance: this.shown(instance) };
    }
    const { memory } = this;
    this.memory = null;
    return memory === null ? null : { type: "memory", memory };
  }

  private sendStatesSoon(): void {
    if (this.timer !== null || this.isFull || this.states.size === 0) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.isFull || this.states.size === 0) return;
      this.send({ type: "states", states: [...this.states.values()] });
      this.states.clear();
    }, STATES_MS);
  }

  /** Bun gives -1 for a frame that it keeps until the socket drains, and 0 for one that it dropped. */
  private send(frame: EventFrame): void {
    const status = this.socket.send(JSON.stringify(frame));
    if (status <= 0) this.isFull = true;
    if (status === 0) this.restore(frame);
  }

  /** What was dropped is sent again, unless there is a newer one. */
  private restore(frame: EventFrame): void {
    if (frame.type === "event") this.events.unshift(frame.event);
    else if (frame.type === "instance") this.restoreChange(frame.instance.id, frame.instance);
    else if (frame.type === "removed") this.restoreChange(frame.id, null);
    else if (frame.type === "memory") this.memory ??= frame.memory;
    else if (frame.type === "states") {
      for (const state of frame.states)
        if (!this.states.has(state.instance_id)) this.states.set(state.instance_id, state);
    }
  }

  private restoreChange(id: string, instance: Instance | null): void {
    if (!this.changed.has(id)) this.changed.set(id, instance);
  }
}
