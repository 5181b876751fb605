import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { toFieldError } from "../contract/errors.ts";
import type { FieldError, Memory } from "../contract/index.ts";
import type { LogRange } from "../logs/cursor.ts";
import { LogUnreadableError } from "../logs/unreadable.ts";
import { InstanceNotFoundError } from "../supervisor/errors.ts";
import type { ManagedInstance } from "../supervisor/instance.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { CrossOriginRules } from "./cross-origin.ts";
import { EventFeed } from "./event-feed.ts";
import { LogStream } from "./log-stream.ts";
import { MemoryWatch } from "./memory-watch.ts";
import { offersOnlyForeign, selectedProtocol } from "./offered-key.ts";
import type { Principal } from "./principal.ts";
import { pathOf, queryOf } from "./request-url.ts";
import { eventsQuery, rangeQuery } from "./routes/observation.ts";
import { StateStream } from "./state-stream.ts";

/** The WebSockets, and what is attached to each. Who may open one is decided in who-asks.ts. */

/** Unsent bytes of one subscriber at which it counts as slow; what is over waits in the log. */
const BACKPRESSURE_BYTES = 64 * 1024 * 1024;
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const RETRY_MS = 500;

interface Subscriber {
  drained(): void;
  close(): void;
}

/** What a request asks to open. */
export type RequestedSocket = { kind: "logs" | "state"; id: string } | { kind: "events" };

export interface SocketData {
  requested: RequestedSocket;
  options: SocketOptions;
  asker: Principal;
  stream: Subscriber | null;
}

type Socket = ServerWebSocket<SocketData>;

/** As it stands in the path, where a client may have escaped what needs no escape; null where it is no text. */
const decoded = (id: string): string | null => {
  try {
    return decodeURIComponent(id);
  } catch {
    return null;
  }
};

/** What the query of the request says. */
interface SocketOptions {
  range: LogRange;
  /** Of `/events`: whether the log of events is sent too. */
  withLog: boolean;
}

/** By the rules of the REST form. */
const parseOptions = ({ kind }: RequestedSocket, params: URLSearchParams): SocketOptions | FieldError[] => {
  const query = kind === "events" ? eventsQuery : rangeQuery;
  const given = Object.fromEntries(
    Object.keys(query.shape).flatMap((name) => {
      const [first, ...others] = params.getAll(name);
      return first === undefined ? [] : [[name, others.length === 0 ? first : [first, ...others]]];
    }),
  );
  const parsed = query.safeParse(given);
  if (!parsed.success) {
    return parsed.error.issues.map((issue) =>
      toFieldError(["query", ...issue.path.map(String)], issue, given[String(issue.path[0])]),
    );
  }
  const { after = null, tail = null, log = false } = parsed.data as { after?: number; tail?: number; log?: boolean };
  return { range: { after, tail }, withLog: log };
};

/** Which socket a request asks to open; null where it asks for none of ours. */
export const requestedSocket = (request: Request): RequestedSocket | null => {
  if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket") return null;
  const path = pathOf(request.url);
  if (path === "/events") return { kind: "events" };
  const match = /^\/instances\/([^/]+)\/(logs|state)$/.exec(path);
  return match === null ? null : { kind: match[2] as "logs" | "state", id: match[1] ?? "" };
};

export class SocketHub {
  private readonly sockets = new Set<Socket>();
  private readonly memory: MemoryWatch;

  constructor(
    private readonly supervisor: Supervisor,
    readMemory: () => Promise<Memory>,
    private readonly pages: CrossOriginRules,
    private readonly report: (error: Error) => void,
  ) {
    this.memory = new MemoryWatch(readMemory);
    supervisor.events.subscribe((event) => {
      if (event.type === "removed") this.closeFor(event.id);
    });
  }

  /** Answers a request for a socket; undefined where it is open. */
  async upgrade(
    request: Request,
    requested: RequestedSocket,
    server: Server<SocketData>,
    asker: Principal,
  ): Promise<Response | undefined> {
    const refuse = (status: number, detail: string | FieldError[]): Response =>
      this.pages.readable(request, Response.json({ detail }, { status }));
    if (offersOnlyForeign(request.headers)) return refuse(400, "The subprotocol should be 'solar-host', or none");
    const options = parseOptions(requested, queryOf(request.url));
    if (Array.isArray(options)) return refuse(422, options);
    const protocol = selectedProtocol(request.headers);
    const opened = server.upgrade(request, {
      data: { requested, options, asker, stream: null },
      ...(protocol === null ? {} : { headers: { "Sec-WebSocket-Protocol": protocol } }),
    });
    return opened ? undefined : refuse(400, "Not a valid WebSocket handshake");
  }

  get handler(): WebSocketHandler<SocketData> {
    return {
      open: (socket) => {
        this.sockets.add(socket);
        this.attach(socket).catch(this.report);
      },
      message: () => undefined,
      drain: (socket) => socket.data.stream?.drained(),
      close: (socket) => {
        this.sockets.delete(socket);
        socket.data.stream?.close();
      },
      maxPayloadLength: 64 * 1024,
      backpressureLimit: BACKPRESSURE_BYTES,
    };
  }

  /** The instance is gone: nothing will come any more. */
  private closeFor(id: string): void {
    for (const socket of [...this.sockets]) {
      const { requested } = socket.data;
      if (requested.kind !== "events" && decoded(requested.id) === id) socket.close(1000, "Instance deleted");
    }
  }

  /** The key is revoked, or its time is over: what it opened ends. */
  closeForKey(id: string): void {
    for (const socket of [...this.sockets]) {
      if (socket.data.asker.keyId === id) socket.close(POLICY_VIOLATION, "The key is no longer valid");
    }
  }

  closeAll(): void {
    for (const socket of [...this.sockets]) socket.close(GOING_AWAY, "The daemon is shutting down");
  }

  /** A log that cannot be read now (too many files may be open, say) is tried again for as long as its subscriber waits. */
  private async untilOpen(instance: ManagedInstance, socket: Socket): Promise<void> {
    while (this.sockets.has(socket)) {
      try {
        return await instance.openLog();
      } catch (error) {
        if (!(error instanceof LogUnreadableError)) this.report(error as Error);
        await Bun.sleep(RETRY_MS);
      }
    }
  }

  private async attach(socket: Socket): Promise<void> {
    const { requested, options, asker } = socket.data;
    if (requested.kind === "events") return this.attachFeed(socket, asker, options.withLog);
    let instance: ManagedInstance;
    try {
      instance = this.supervisor.get(decodeURIComponent(requested.id));
    } catch (error) {
      if (!(error instanceof InstanceNotFoundError || error instanceof URIError)) throw error;
      socket.send(JSON.stringify({ error: "Instance not found" }));
      socket.close(1000, "Instance not found");
      return;
    }
    await this.untilOpen(instance, socket);
    if (!this.sockets.has(socket)) return;
    socket.data.stream =
      requested.kind === "logs"
        ? new LogStream(socket, instance.log, options.range)
        : new StateStream(socket, instance.tracker);
  }

  private async attachFeed(socket: Socket, asker: Principal, withLog: boolean): Promise<void> {
    const memory = await this.memory.now();
    if (!this.sockets.has(socket)) return;
    const feed = new EventFeed(socket, this.supervisor, memory, { asker, withLog });
    const end = this.memory.subscribe((changed) => feed.takeMemory(changed));
    socket.data.stream = {
      drained: () => feed.drained(),
      close: () => {
        end();
        feed.close();
      },
    };
  }
}
