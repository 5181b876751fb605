import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { FieldError } from "../contract/index.ts";
import type { LogRange } from "../logs/cursor.ts";
import { LogUnreadableError } from "../logs/unreadable.ts";
import { InstanceNotFoundError } from "../supervisor/errors.ts";
import type { ManagedInstance } from "../supervisor/instance.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { type KeyCheck, offeredSocketKey, offersOnlyForeign, selectedProtocol, UNAUTHORIZED } from "./auth.ts";
import type { CrossOriginRules } from "./cross-origin.ts";
import { LogStream } from "./log-stream.ts";
import { pathOf, queryOf } from "./request-url.ts";
import { StateStream } from "./state-stream.ts";

/** The two WebSockets: who may open one, and what is attached to it. */

/** Unsent bytes of one subscriber at which it counts as slow; what is over waits in the log. */
const BACKPRESSURE_BYTES = 64 * 1024 * 1024;
const GOING_AWAY = 1001;
const RETRY_MS = 500;

export interface SocketData {
  kind: "logs" | "state";
  id: string;
  range: LogRange;
  stream: LogStream | StateStream | null;
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

const EVERYTHING: LogRange = { after: null, tail: null };

/** By the rules of the REST form, which are loaded only where there is something to judge. */
const parseRange = async (params: URLSearchParams): Promise<LogRange | FieldError[]> => {
  const given = Object.fromEntries(
    ["after", "tail"].flatMap((name) => {
      const [first, ...others] = params.getAll(name);
      return first === undefined ? [] : [[name, others.length === 0 ? first : [first, ...others]]];
    }),
  );
  if (Object.keys(given).length === 0) return EVERYTHING;
  const { rangeQuery } = await import("./routes/observation.ts");
  const parsed = rangeQuery.safeParse(given);
  if (parsed.success) return { after: parsed.data.after ?? null, tail: parsed.data.tail ?? null };
  const { toFieldError } = await import("../contract/errors.ts");
  return parsed.error.issues.map((issue) =>
    toFieldError(["query", ...issue.path.map(String)], issue, given[String(issue.path[0])]),
  );
};

/** Which socket a request asks to open; null where it asks for none of ours. */
export const requestedSocket = (request: Request): Pick<SocketData, "kind" | "id"> | null => {
  if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket") return null;
  const match = /^\/instances\/([^/]+)\/(logs|state)$/.exec(pathOf(request.url));
  return match === null ? null : { kind: match[2] as SocketData["kind"], id: match[1] ?? "" };
};

export class SocketHub {
  private readonly sockets = new Set<Socket>();

  constructor(
    private readonly supervisor: Supervisor,
    private readonly pages: CrossOriginRules,
    private readonly mayEnter: KeyCheck,
    private readonly report: (error: Error) => void,
  ) {}

  /** Answers a request for a socket; undefined where it is open. */
  async upgrade(
    request: Request,
    requested: Pick<SocketData, "kind" | "id">,
    server: Server<SocketData>,
  ): Promise<Response | undefined> {
    const foreign = this.pages.refuse(request);
    if (foreign !== null) return foreign;
    const refuse = (status: number, detail: string | FieldError[]): Response =>
      this.pages.readable(request, Response.json({ detail }, { status }));
    if (!this.mayEnter(offeredSocketKey(request.headers))) return refuse(401, UNAUTHORIZED);
    if (offersOnlyForeign(request.headers)) return refuse(400, "The subprotocol should be 'solar-host', or none");
    const range = await parseRange(queryOf(request.url));
    if (Array.isArray(range)) return refuse(422, range);
    const protocol = selectedProtocol(request.headers);
    const opened = server.upgrade(request, {
      data: { ...requested, range, stream: null },
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
  closeFor(id: string): void {
    for (const socket of [...this.sockets]) {
      if (decoded(socket.data.id) === id) socket.close(1000, "Instance deleted");
    }
  }

  closeAll(): void {
    for (const socket of [...this.sockets]) socket.close(GOING_AWAY, "The daemon is shutting down");
  }

  /** A log that cannot be read now (too many files may be open, say) is tried again for as long as somebody waits. */
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
    let instance: ManagedInstance;
    try {
      instance = this.supervisor.get(decodeURIComponent(socket.data.id));
    } catch (error) {
      if (!(error instanceof InstanceNotFoundError || error instanceof URIError)) throw error;
      socket.send(JSON.stringify({ error: "Instance not found" }));
      socket.close(1000, "Instance not found");
      return;
    }
    await this.untilOpen(instance, socket);
    if (!this.sockets.has(socket)) return;
    socket.data.stream =
      socket.data.kind === "logs"
        ? new LogStream(socket, instance.log, socket.data.range)
        : new StateStream(socket, instance.tracker);
  }
}
