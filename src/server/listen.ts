import type { Server } from "bun";
import type { Journal } from "../common/journal.ts";
import type { Settings } from "../store/settings.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { createMemoryReader } from "../system/memory.ts";
import { createApp } from "./app.ts";
import { BootError } from "./boot.ts";
import { crossOriginRules } from "./cross-origin.ts";
import { answerFault } from "./errors.ts";
import type { KeyRing } from "./key-ring.ts";
import { listenProblem } from "./listen-problem.ts";
import { keyLookup } from "./principal.ts";
import { isOperation, routable } from "./request-url.ts";
import { requestedSocket, type SocketData, SocketHub } from "./websockets.ts";
import { createDoor } from "./who-asks.ts";
import { WrongKeys } from "./wrong-keys.ts";

/** Where the daemon listens: what each request meets first. */

/** Longer than any request waits by itself; those that wait for a model set their own. */
const IDLE_SECONDS = 60;
/** How often keys are looked for whose time is over, while something of theirs is open. */
const EXPIRY_MS = 1000;

/** An operation waits as long as the model server needs, and only then; its connection may stay for the next request. */
const withoutLimit = async (
  server: Server<SocketData>,
  request: Request,
  idleSeconds: number,
  operate: () => Response | Promise<Response>,
): Promise<Response> => {
  server.timeout(request, 0);
  try {
    return await operate();
  } finally {
    server.timeout(request, idleSeconds);
  }
};

/**
 * @param idleSeconds after which a connection is closed on which nothing happens
 * @throws BootError where there is no listening there, with why and what to do
 */
export const listen = async (
  settings: Pick<Settings, "HOST" | "PORT" | "START_WAIT">,
  key: string,
  keys: KeyRing,
  supervisor: Supervisor,
  journal: Pick<Journal, "error">,
  idleSeconds = IDLE_SECONDS,
) => {
  const report = (error: Error): void => journal.error(`unexpected error: ${error.message}`, { stack: error.stack });
  const readMemory = createMemoryReader();
  const routes = createApp({
    supervisor,
    keys,
    readMemory,
    startWaitMs: settings.START_WAIT * 1000,
    report,
  });
  const pages = crossOriginRules(key);
  const whose = keyLookup(key, (given) => keys.principalOf(given));
  const door = createDoor(pages, whose, new WrongKeys());
  const hub = new SocketHub(supervisor, readMemory, pages, report);
  keys.subscribe((id) => hub.closeForKey(id));
  setInterval(() => keys.endExpired(), EXPIRY_MS).unref();
  try {
    const server = Bun.serve<SocketData>({
      hostname: settings.HOST,
      port: settings.PORT,
      idleTimeout: idleSeconds,
      development: false,
      // Bun shares the port with any other program that wants it, unless told not to, where development is off.
      reusePort: false,
      // The routes have a limit of their own, and name it. A body that no route reads stays with the client.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch(request, self) {
        const socket = requestedSocket(request);
        const address = self.requestIP(request)?.address ?? "";
        if (socket !== null) return door.socket(request, address, (asker) => hub.upgrade(request, socket, self, asker));
        const routed = routable(request);
        return door.answer(routed, address, (principal) => {
          const operate = () => routes.fetch(routed, { principal });
          const lasts = request.method === "POST" && isOperation(request.url);
          return lasts ? withoutLimit(self, request, idleSeconds, operate) : operate();
        });
      },
      error: (fault) => pages.readable(null, answerFault(fault, report)),
      websocket: hub.handler,
    });
    return { server, hub };
  } catch (error) {
    throw new BootError(await listenProblem(settings.HOST, settings.PORT, error as NodeJS.ErrnoException));
  }
};
