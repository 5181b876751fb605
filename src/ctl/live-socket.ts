import type { z } from "zod";
import { type Api, issueWords, type RequestOptions } from "./api.ts";
import { CtlError, exitCodes } from "./errors.ts";

/**
 * A WebSocket that comes back: through restarts of the daemon, cut connections and a laptop's sleep. What is
 * missed meanwhile is the caller's to ask for, by the path of the next connection.
 */

/** Silence after which the other side is asked for a sign of life, and the time it has for one. */
const SILENCE_MS = 5000;
const SIGN_MS = 5000;
const CONNECT_MS = 5000;
/** For how long a daemon is tried that has never opened it. */
const FIRST_ANSWER_MS = 10_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2000;
const NORMAL_CLOSURE = 1000;

/** Bun's own, which has what a browser's lacks. */
type Socket = WebSocket & { ping(): void; terminate(): void };

export interface LiveHandlers {
  /** Path and query of the next connection. */
  path(): string;
  /** A plain request, whose refusal is why the socket is not opened. */
  check(options: RequestOptions): Promise<unknown>;
  /** What it throws ends the whole; a FrameError is told with the daemon's version. */
  frame(text: string): void;
  /** Told when the connection is lost, and when it is there again. */
  say(message: string): void;
}

const openSocket = (url: string, headers: Record<string, string>): Socket =>
  // Bun takes headers here, which a browser would not.
  new WebSocket(url, { headers } as unknown as string[]) as Socket;

/** A frame that this client does not know: what was wrong with it. A daemon of another version may send such. */
export class FrameError extends Error {}

/** @throws FrameError */
export const parseFrame = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new FrameError("a frame that is no JSON");
  }
};

/** Why a frame is not taken. An error frame is followed by the end of the stream, which says no more than it. */
export const notUnderstood = (name: string, text: string, { issues }: z.ZodError): Error => {
  if (text.startsWith('{"error":')) return new CtlError(exitCodes.notFound, `${name}: Instance not found`);
  return new FrameError(`a frame's ${issueWords(issues, "content")}`);
};

export class LiveSocket {
  private socket: Socket | null = null;
  private heard = 0;
  private began = 0;
  private retry = FIRST_RETRY_MS;
  private wasOpen = false;
  private isLost = false;
  private paused = false;
  private ended = false;
  private end: ((error: unknown) => void) | null = null;

  constructor(
    private readonly api: Api,
    private readonly name: string,
    private readonly handlers: LiveHandlers,
  ) {}

  /** Goes on for ever. @throws CtlError where trying again would not help: the instance is gone, the key refused */
  run(): Promise<never> {
    this.began = performance.now();
    const watch = setInterval(() => this.lookForLife(), 1000);
    return new Promise<never>((_, reject) => {
      this.end = reject;
      this.connect();
    }).finally(() => {
      clearInterval(watch);
      this.ended = true;
      this.drop();
    });
  }

  /** Takes nothing more until {@link resume}: the other side keeps what comes. */
  pause(): void {
    this.paused = true;
    this.drop();
  }

  resume(): void {
    this.paused = false;
    this.connect();
  }

  private connect(): void {
    if (this.paused || this.ended || this.socket !== null) return;
    const socket = openSocket(this.api.socketUrl(this.handlers.path()), this.api.headers);
    this.socket = socket;
    let opened = false;
    const late = setTimeout(() => socket.terminate(), CONNECT_MS);
    const isOurs = (): boolean => this.socket === socket;
    socket.onopen = () => {
      clearTimeout(late);
      opened = true;
      this.wasOpen = true;
      this.heard = performance.now();
      if (isOurs() && this.isLost) {
        this.isLost = false;
        this.handlers.say(`${this.name}: connected again`);
      }
    };
    socket.onmessage = ({ data }) => {
      if (!isOurs()) return;
      this.heard = performance.now();
      this.retry = FIRST_RETRY_MS;
      try {
        this.handlers.frame(String(data));
      } catch (error) {
        this.pause();
        void this.explained(error).then((told) => this.end?.(told));
      }
    };
    socket.addEventListener("pong", () => {
      this.heard = performance.now();
      this.retry = FIRST_RETRY_MS;
    });
    socket.onclose = ({ code, reason }) => {
      clearTimeout(late);
      if (!isOurs()) return;
      this.socket = null;
      if (code === NORMAL_CLOSURE) this.end?.(this.gone(reason));
      else void this.reconnect(opened);
    };
  }

  private async explained(error: unknown): Promise<unknown> {
    if (!(error instanceof FrameError)) return error;
    const [path = ""] = this.handlers.path().split("?", 1);
    return await this.api.incompatible(`WS ${path}`, error.message);
  }

  private async reconnect(opened: boolean): Promise<void> {
    if (!this.isLost) {
      this.isLost = true;
      this.handlers.say(`${this.name}: the connection is lost; trying again`);
    }
    // A refused upgrade does not say why: a request does.
    const error = opened ? null : await this.whyNot();
    if (error !== null) return this.end?.(error);
    await Bun.sleep(this.retry);
    await this.api.retarget();
    this.retry = Math.min(this.retry * 2, LAST_RETRY_MS);
    this.connect();
  }

  private async whyNot(): Promise<CtlError | null> {
    try {
      await this.handlers.check({ timeoutMs: CONNECT_MS });
      // A few times over, it is not a daemon that is only just starting.
      return this.wasOpen || this.retry < LAST_RETRY_MS
        ? null
        : new CtlError(exitCodes.failure, `${this.api.where} answers, but no WebSocket to it can be opened`, [
            "is a proxy in between that lets none through?",
          ]);
    } catch (error) {
      if (!(error instanceof CtlError)) return null;
      // One that was there before comes back; one that never answered is not waited for without end.
      const isPatient = this.wasOpen || performance.now() - this.began < FIRST_ANSWER_MS;
      if (error.exitCode === exitCodes.unreachable) return isPatient ? null : error;
      // Of a daemon that was understood before, only these are its own words: what stands before it, a proxy
      // say, has words of its own while the daemon restarts.
      const isLasting = error.exitCode === exitCodes.notFound || error.exitCode === exitCodes.refusedKey;
      return isLasting || !this.wasOpen ? error : null;
    }
  }

  /** A connection that was cut without a word looks like one on which nothing happens. */
  private lookForLife(): void {
    const { socket } = this;
    if (socket === null || socket.readyState !== WebSocket.OPEN) return;
    const silent = performance.now() - this.heard;
    if (silent > SILENCE_MS + SIGN_MS) socket.terminate();
    else if (silent > SILENCE_MS) socket.ping();
  }

  private drop(): void {
    const { socket } = this;
    this.socket = null;
    socket?.terminate();
  }

  private gone(reason: string): CtlError {
    return new CtlError(exitCodes.notFound, `${this.name}: ${reason || "the daemon ended the stream"}`);
  }
}
