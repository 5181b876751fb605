import type { ServerWebSocket } from "bun";
import type { RuntimeTracker, StateChange } from "../runtime/runtime-tracker.ts";

/** One subscriber of a runtime state. A slow one gets the newest state when it can take more, not each in between. */
export class StateStream {
  private waiting: StateChange | null = null;
  private full = false;
  private readonly end: () => void;

  constructor(
    private readonly socket: Pick<ServerWebSocket<unknown>, "send">,
    tracker: RuntimeTracker,
  ) {
    this.socket.send(JSON.stringify({ type: "instance_state", data: tracker.state }));
    this.end = tracker.subscribe((event) => {
      if (event.type === "state") this.take(event.change);
    });
  }

  drained(): void {
    this.full = false;
    const { waiting } = this;
    this.waiting = null;
    if (waiting !== null) this.take(waiting);
  }

  close(): void {
    this.end();
  }

  private take(change: StateChange): void {
    if (this.full) {
      this.waiting = change;
      return;
    }
    const { seq, timestamp, state } = change;
    const status = this.socket.send(JSON.stringify({ seq, timestamp, type: "instance_state", data: state }));
    if (status <= 0) this.full = true;
    if (status === 0) this.waiting = change;
  }
}
