import type { z } from "zod";
import { version } from "../version.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";
import type { Target } from "./target.ts";
import { whyUnreachable } from "./unreachable.ts";

/** Speaks to one daemon: requests, its refusals as errors, and proof that the answer is what the contract says. */

/** Longer than a daemon that is well takes for anything that does not wait for a model. */
const ANSWER_MS = 10_000;

export interface RequestOptions {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  /** Null: as long as it takes, since it waits for a model server. */
  timeoutMs?: number | null;
  /** Of the user's own limit: past it the exit code says that the time is over. */
  signal?: AbortSignal | undefined;
}

export interface Answer<T> {
  /** As the contract knows it. */
  value: T;
  /** As it came, with what the contract does not know. */
  raw: unknown;
}

/** The daemon refused with a status code; `detail` as it put it. */
export class RefusedError extends CtlError {
  constructor(
    readonly status: number,
    readonly detail: unknown,
    exitCode: ConstructorParameters<typeof CtlError>[0],
    message: string,
    hints: readonly string[] = [],
  ) {
    super(exitCode, message, hints);
  }
}

/** Neither proxies nor their operators have to do with a daemon on this very machine. */
const isLoopback = (url: string): boolean => /^https?:\/\/(?:localhost|127\.[\d.]+|\[::1\])(?::|\/|$)/i.test(url);

const withoutProxies = (): void => {
  for (const name of Object.keys(process.env)) {
    if (/^(?:https?|all)_proxy$/i.test(name)) delete process.env[name];
  }
};

interface FieldProblem {
  loc: (string | number)[];
  msg: string;
}

const isFieldProblem = (value: unknown): value is FieldProblem =>
  typeof value === "object" && value !== null && "msg" in value && "loc" in value && Array.isArray(value.loc);

/** `config.temp: Input should be…`, by the name that the user knows the field by. */
const fieldLines = (detail: unknown): string[] =>
  (Array.isArray(detail) ? detail : []).filter(isFieldProblem).map(({ loc, msg }) => {
    const place = loc.filter((part, at) => !(at === 0 && (part === "body" || part === "query" || part === "path")));
    const field = place[0] === "config" && place.length > 1 ? place.slice(1) : place;
    return field.length === 0 ? msg : `${field.join(".")}: ${msg}`;
  });

const detailOf = (text: string): unknown => {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null && "detail" in body ? body.detail : undefined;
  } catch {
    return undefined;
  }
};

/** What is wrong with an answer or a frame, in our words. @param whole what is named where the whole is wrong */
export const issueWords = (issues: readonly z.core.$ZodIssue[], whole: string): string => {
  const [issue] = issues;
  const place = issue?.path.map(String).join(".") || whole;
  if (issue?.code !== "invalid_type") return `${place}: it is not what it should be`;
  return `${place}: it should be of the type ${issue.expected}`;
};

export class Api {
  /** @param lookAgain where the same daemon is now */
  constructor(
    public target: Target,
    private readonly lookAgain: (target: Target) => Promise<Target> = async (same) => same,
  ) {
    if (isLoopback(target.url)) withoutProxies();
  }

  /** To be called before another attempt to reach a daemon that went away. */
  async retarget(): Promise<void> {
    this.target = await this.lookAgain(this.target);
  }

  get headers(): Record<string, string> {
    const agent = { "User-Agent": `solar-host ctl ${version}` };
    return this.target.key === "" ? agent : { ...agent, "X-API-Key": this.target.key };
  }

  /** Where its WebSockets are. */
  socketUrl(path: string): string {
    return `${this.target.url.replace(/^http/i, "ws")}${path}`;
  }

  /**
   * One request.
   * @throws CtlError: unreachable, refused key, not found, or the daemon's own words
   */
  async request<T>(path: string, schema: z.ZodType<T>, options: RequestOptions = {}): Promise<Answer<T>> {
    const { method = "GET" } = options;
    const changes = method !== "GET";
    const { status, text } = await this.exchange(path, options);
    if (status < 200 || status > 299) throw await this.refusal(status, text, `${method} ${path}`);
    let raw: unknown;
    try {
      raw = JSON.parse(text);
    } catch {
      throw await this.incompatible(`${method} ${path}`, "no JSON", changes);
    }
    const parsed = schema.safeParse(raw);
    if (parsed.success) return { value: parsed.data, raw };
    throw await this.incompatible(`${method} ${path}`, issueWords(parsed.error.issues, "the answer"), changes);
  }

  private unreachable(why: string): CtlError {
    return new CtlError(exitCodes.unreachable, `cannot reach ${this.where}: ${why}`, [
      "is the daemon running there, and is this its address? (solar-host serve)",
    ]);
  }

  /** The time is over that the user gave. */
  private tooLate(): CtlError {
    return new CtlError(exitCodes.timeout, `the time is over: ${this.where} does not answer`);
  }

  /** Name and address, for people. */
  get where(): string {
    const { name, url } = this.target;
    return name === url ? url : `${name} (${url})`;
  }

  private async exchange(path: string, options: RequestOptions): Promise<{ status: number; text: string }> {
    const { method = "GET", query = {}, body, timeoutMs = ANSWER_MS, signal } = options;
    const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    );
    const search = given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
    if (!/^[\x20-\x7e\x80-\xff]*$/.test(this.target.key)) {
      throw usageError(`the key from ${this.target.keyFrom} holds a line end or a character that no key has`);
    }
    const signals = [signal, timeoutMs === null ? undefined : AbortSignal.timeout(timeoutMs)];
    try {
      const answer = await fetch(`${this.target.url}${path}${search}`, {
        method,
        headers: body === undefined ? this.headers : { ...this.headers, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any(signals.filter((one) => one !== undefined)),
        // Bun's own limit, five minutes, is shorter than some models take to load.
        timeout: false,
        redirect: "manual",
      } as RequestInit);
      return { status: answer.status, text: await answer.text() };
    } catch (error) {
      if (signal?.aborted === true) throw this.tooLate();
      if ((error as Error).name === "TimeoutError") {
        throw this.unreachable(`no answer within ${(timeoutMs ?? 0) / 1000} s`);
      }
      throw this.unreachable(whyUnreachable(error));
    }
  }

  private async refusal(status: number, text: string, what: string): Promise<CtlError> {
    const detail = detailOf(text);
    if (status === 401) return this.refusedKey();
    if (status === 422) {
      const lines = fieldLines(detail);
      return new RefusedError(status, detail, exitCodes.usage, "the daemon does not take these values:", lines);
    }
    if (typeof detail !== "string") return this.incompatible(what, `status ${status}`);
    if (status === 404 && detail === "Not Found") return this.incompatible(what, "it does not know this request");
    return new RefusedError(status, detail, status === 404 ? exitCodes.notFound : exitCodes.failure, detail);
  }

  refusedKey(): CtlError {
    const { key, keyFrom, unreadable = [] } = this.target;
    return new CtlError(
      exitCodes.refusedKey,
      key === "" ? `${this.where} asks for a key` : `${this.where} refused the key from ${keyFrom}`,
      [
        "the daemon's key is API_KEY in the .env of its directory",
        ...(unreadable.length === 0 ? [] : [`you may not read ${unreadable.join(" and ")}`]),
        this.keyHint(),
      ],
    );
  }

  /** Where the right key is to go: each kind of target has another place for it. */
  private keyHint(): string {
    const { context, directory, keyFrom, url } = this.target;
    if (context !== undefined) return `keep the right one: solar-host ctl context add ${context} ${url} --key -`;
    if (directory !== undefined && keyFrom === "--key") return "leave --key out: the daemon's own record has its key";
    if (directory !== undefined) return "give the right one with --key -, or start the daemon again";
    return `give it with --key -, in SOLAR_HOST_API_KEY, or once: solar-host ctl context add <name> ${url} --key -`;
  }

  /** Names a daemon, or something that is none, whose answers are not those of our contract. */
  async incompatible(what: string, problem: string, changed = false): Promise<CtlError> {
    const hints = changed ? ["what was asked for may have been done all the same: look with solar-host ctl ls"] : [];
    const failure = (is: string, hint: string): CtlError =>
      new CtlError(exitCodes.failure, `${this.target.url} ${is} (${what}: ${problem})`, [...hints, hint]);
    const other = await this.daemonVersion();
    if (other === null) return failure("is no solar-host daemon", "check the address");
    if (other === version) {
      return failure(
        `runs solar-host ${other}, like this client, but answers otherwise`,
        "use the client that was built with that daemon",
      );
    }
    return failure(
      `runs solar-host ${other}, which this client (${version}) does not understand`,
      `use a client of version ${other}, or bring the daemon to ${version}`,
    );
  }

  /** Its version, whether it takes our key or not; null where no daemon answers. */
  async daemonVersion(): Promise<string | null> {
    try {
      const { text } = await this.exchange("/health", { timeoutMs: 3000 });
      const body: unknown = JSON.parse(text);
      if (typeof body !== "object" || body === null || !("service" in body) || body.service !== "solar-host")
        return null;
      return "version" in body && typeof body.version === "string" ? body.version : "of an unknown version";
    } catch {
      return null;
    }
  }
}
