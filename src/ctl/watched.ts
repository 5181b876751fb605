import { z } from "zod";
import { type ListedInstance, listedInstance } from "../contract/instance-facts.ts";
import { type RuntimeState, runtimeState } from "../contract/runtime-state.ts";
import { type Memory, memory } from "../contract/system.ts";
import { type Answer, type Api, issueWords, RefusedError, type RequestOptions } from "./api.ts";
import { FrameError, LiveSocket, parseFrame } from "./live-socket.ts";

/** All instances, what they do and the memory of the machine, as `WS /events` tells of them: always as of now. */

/** With what the contract does not know of it. */
const answer = <T>(schema: z.ZodType<T>) =>
  z.unknown().transform((raw, context): Answer<T> => {
    const parsed = schema.safeParse(raw);
    if (parsed.success) return { raw, value: parsed.data };
    context.issues.push(...(parsed.error.issues as typeof context.issues));
    return z.NEVER;
  });

const TYPES = ["snapshot", "instance", "removed", "states", "memory"];

/** The content of each frame that is of use here. */
const content = z.object({
  type: z.string(),
  instances: z.array(answer(listedInstance)).default([]),
  instance: answer(listedInstance).optional(),
  id: z.string().optional(),
  states: z.array(answer(runtimeState)).default([]),
  memory: answer(memory.nullable()).optional(),
});

/** A request without an upgrade, of which a daemon that has these events says so. @throws CtlError where it has none */
const askForEvents = async (api: Api, options: RequestOptions = {}): Promise<void> => {
  await api.request("/events", z.never(), options).catch((error: unknown) => {
    if (!(error instanceof RefusedError && error.status === 426)) throw error;
  });
};

export class Watched {
  readonly instances = new Map<string, Answer<ListedInstance>>();
  readonly states = new Map<string, Answer<RuntimeState>>();
  memory: Answer<Memory | null> = { raw: null, value: null };
  /** Why all this is old; null when it is not. */
  problem: string | null = null;
  /** Rejects where nothing will come any more. */
  readonly ended: Promise<never>;
  private readonly first = Promise.withResolvers<void>();

  private constructor(readonly api: Api) {
    this.ended = new LiveSocket(api, api.where, {
      path: () => "/events",
      check: (options) => askForEvents(api, options),
      frame: (text) => this.take(text),
      say: (message) => {
        this.problem = message;
      },
    }).run();
  }

  /** Resolves when all is known. @throws CtlError: unreachable, too old, the key refused */
  static async open(api: Api): Promise<Watched> {
    await askForEvents(api);
    const watched = new Watched(api);
    await Promise.race([watched.first.promise, watched.ended]);
    return watched;
  }

  private take(text: string): void {
    const frame = parseFrame(text);
    if (!TYPES.includes((frame as { type: string }).type)) return;
    const { data, error } = content.safeParse(frame);
    if (data === undefined) throw new FrameError(`a frame's ${issueWords(error.issues, "content")}`);
    if (data.type === "snapshot") {
      this.instances.clear();
      this.states.clear();
      this.problem = null;
      this.first.resolve();
    }
    if (data.type === "removed") this.instances.delete(data.id ?? "");
    for (const one of [...data.instances, ...(data.instance ? [data.instance] : [])])
      this.instances.set(one.value.id, one);
    for (const one of data.states) this.states.set(one.value.instance_id, one);
    if (data.memory !== undefined) this.memory = data.memory;
  }
}
