import type { BackendEvent, FinishedGeneration, LogReader, SlotProgress } from "../backend.ts";
import { decodeRate } from "../rates.ts";
import {
  bodyStart,
  messagesOf,
  pairAt,
  pairOf,
  parseSlotLine,
  parseTiming,
  type SlotLine,
  type Timing,
  timingKind,
  withoutColours,
} from "./line.ts";

/**
 * Reads the log of llama-server, builds before May 2026 and after. The two differ in prefixes and in
 * how much they tell: the newer ones say neither how long a prompt is nor when it was read.
 * Messages are known by their words, not by the function before them, which changed often.
 */

/** What is known of the task that a slot works on, or has just left. */
interface SlotMemory {
  task: number | null;
  /** The whole prompt, from the line that announces it. */
  promptTokens: number | null;
  /** Tokens of the prompt that were read; the rest of it came from the cache. */
  evaluated: number | null;
  decode: Timing | null;
  /** The timings named their slot themselves, as newer builds do. */
  newDialect: boolean;
  /** What the slot holds no longer tells how long the prompt was: parts of it were thrown away, or drafts added. */
  inexact: boolean;
  released: boolean;
}

const MESSAGES = {
  newPrompt: /^new prompt,.*\b(?:task\.n_tokens|n_prompt_tokens) = (\d+)/,
  progress: /\bprogress = ([\d.]+)/,
  /** Behind the word "progress", the first figure is all that was read, what came from the cache included. */
  read: /^prompt processing progress, n_(?:past|tokens) = (\d+)/,
  checkpoint: /^created context checkpoint (\d+) of (\d+)/,
  /** The rate of the last seconds where it is given, else that of all of it. */
  generating: /^n_(?:gen|decoded) = +(\d+), tg = +([\d.]+) t\/s(?:, tg_\d+s = +([\d.]+) t\/s)?/,
  released: /^stop processing: n_(tokens|past) = (\d+)/,
} as const;

const number = (text: string | undefined): number => Number(text);

/** Builds of 2025 print a progress that leaves out what came from the cache: their count is the better one. */
const prefillOf = (message: string, promptTokens: number | null): SlotProgress | null => {
  const read = promptTokens === null || promptTokens === 0 ? null : MESSAGES.read.exec(message);
  const printed = MESSAGES.progress.exec(message);
  const progress = read !== null && promptTokens !== null ? number(read[1]) / promptTokens : number(printed?.[1]);
  return Number.isFinite(progress) ? { phase: "prefill", prefill_progress: Math.min(1, progress) } : null;
};

/** What a message says of a slot that goes on working; null where it says nothing of that. */
const progressOf = (message: string, promptTokens: number | null): SlotProgress | null => {
  if (message.startsWith("prompt processing progress,") || message.startsWith("prompt processing, n_tokens")) {
    return prefillOf(message, promptTokens);
  }
  if (message.startsWith("prompt done,") || message.startsWith("prompt processing done,")) {
    // It stays so until the release: clients that know the older builds wait for it.
    return { phase: "generating", prefill_progress: 1, generated_tokens: 0 };
  }
  if (message.startsWith("n_gen =") || message.startsWith("n_decoded =")) {
    const match = MESSAGES.generating.exec(message);
    if (match === null) return null;
    return {
      phase: "generating",
      generated_tokens: number(match[1]),
      ...decodeRate(number(match[3] ?? match[2])),
    };
  }
  const checkpoint = message.startsWith("created context checkpoint") ? MESSAGES.checkpoint.exec(message) : null;
  return checkpoint && { checkpoint_index: number(checkpoint[1]), checkpoint_total: number(checkpoint[2]) };
};

/**
 * Length of the whole prompt. Newer builds do not print it, but what a slot holds at its release is
 * the prompt and every generated token but the last, which was never fed back.
 */
const wholePrompt = (memory: SlotMemory, held: number | null, decode: Timing): number | null => {
  if (memory.promptTokens !== null) return memory.promptTokens;
  if (held === null || memory.inexact || !memory.newDialect) return null;
  const tokens = held + 1 - decode.tokens;
  return tokens >= (memory.evaluated ?? 0) ? tokens : null;
};

/** Null where there are no timings: the task was cancelled, refused, or no generation at all. */
const generationOf = (slot: number, memory: SlotMemory, held: number | null): FinishedGeneration | null => {
  const { decode, evaluated } = memory;
  if (decode === null) return null;
  const prompt = wholePrompt(memory, held, decode);
  const cached = prompt === null || evaluated === null ? null : prompt - evaluated;
  return {
    slot_id: slot,
    task_id: memory.task,
    prompt_tokens: prompt,
    cached_tokens: cached === null || cached < 0 ? null : cached,
    generated_tokens: decode.tokens,
    decode_tps: decode.tokensPerSecond,
    decode_ms_per_token: decode.msPerToken,
  };
};

/** Builds whose timings come well before the release show what was generated meanwhile. */
const shown = ({ tokens, tokensPerSecond, msPerToken }: Timing): SlotProgress => ({
  phase: "generating",
  generated_tokens: tokens,
  decode_tps: tokensPerSecond,
  decode_ms_per_token: msPerToken,
});

const READY = /server is listening on |: listening on http|: model loaded$|: all slots are idle$/;

const STAGES: readonly (readonly [words: string, stage: string])[] = [
  ["load_model: loading model", "loading model"],
  ["loading model tensors", "loading tensors"],
  ["constructing llama_context", "creating context"],
  ["warming up the model", "warming up"],
  ["initializing slots", "initializing slots"],
  ["load_model: initializing, n_slots", "initializing slots"],
];

/** The functions that print loading lines; checked first, because a loading server may write many other lines. */
const LOADERS: ReadonlySet<number> = new Set(["srv", "main", "cmn", "load_tensors", "llama", "common"].map(pairOf));
const SLOT = pairOf("slot");
const SERVER = pairOf("srv");
const BRACE = "{".charCodeAt(0);

/** Loading lines are short; a long one is other output. */
const MAX_LOADING_LINE = 1000;

/** The event of most lines. */
const NOTHING: readonly BackendEvent[] = [];

class LlamaLogReader implements LogReader {
  private readonly slots = new Map<number, SlotMemory>();
  /** The slot whose `print_timing` line came last and left the figures to the lines below it (older builds). */
  private timed: SlotLine | null = null;
  private ready = false;

  read(raw: string): readonly BackendEvent[] {
    if (raw.charCodeAt(0) === BRACE) return messagesOf(raw).flatMap((line) => this.readLine(line));
    return this.readLine(withoutColours(raw));
  }

  private readLine(line: string): readonly BackendEvent[] {
    const start = bodyStart(line);
    const head = pairAt(line, start);
    if (head === SLOT) {
      const found = parseSlotLine(line, start);
      return found === null ? [] : this.slotLine(found);
    }
    if (this.timed !== null && timingKind(line) !== null) return this.timing(this.timed, line);
    if (this.ready) return head === SERVER ? this.idle(line) : NOTHING;
    return LOADERS.has(head) && line.length <= MAX_LOADING_LINE ? this.loading(line) : NOTHING;
  }

  private idle(line: string): readonly BackendEvent[] {
    if (!line.endsWith("all slots are idle")) return NOTHING;
    this.slots.clear();
    return [{ type: "all-idle" }];
  }

  private loading(line: string): BackendEvent[] {
    if (READY.test(line)) {
      this.ready = true;
      return [{ type: "ready" }];
    }
    const stage = STAGES.find(([words]) => line.includes(words));
    return stage === undefined ? [] : [{ type: "loading", stage: stage[1], progress: null }];
  }

  private slotLine(line: SlotLine): BackendEvent[] {
    const { slot, task, message } = line;
    this.timed = null;
    if (message.startsWith("processing task")) {
      return [{ type: "slot-started", slot, task, progress: { phase: "prefill" } }];
    }
    if (message.startsWith("stop processing:")) return this.released(line);
    if (message === "") {
      this.timed = line;
      return [];
    }
    if (message.startsWith("new prompt,")) return this.newPrompt(line);
    if (message.startsWith("slot context shift") || message.startsWith("draft acceptance")) {
      this.memoryOf(slot, task).inexact = true;
      return [];
    }
    if (timingKind(message) !== null) {
      this.memoryOf(slot, task).newDialect = true;
      return this.timing(line, message);
    }
    const progress = progressOf(message, this.slots.get(slot)?.promptTokens ?? null);
    return progress === null ? [] : [{ type: "slot-progress", slot, task, progress }];
  }

  private newPrompt({ slot, task, message }: SlotLine): BackendEvent[] {
    const match = MESSAGES.newPrompt.exec(message);
    if (match === null) return [];
    const tokens = number(match[1]);
    this.memoryOf(slot, task).promptTokens = tokens;
    const progress: SlotProgress = { phase: "prefill", prefill_prompt_tokens: tokens, prefill_progress: 0 };
    return [{ type: "slot-progress", slot, task, progress }];
  }

  /** A figure of the slot that the line names, or, in older builds, that the `print_timing` line above it names. */
  private timing({ slot, task }: SlotLine, text: string): BackendEvent[] {
    const kind = timingKind(text);
    const timing = kind === "total" ? null : parseTiming(text);
    const memory = this.memoryOf(slot, task);
    if (kind === "total") this.timed = null;
    if (timing === null) return [];
    if (kind === "prompt") memory.evaluated = timing.tokens;
    else memory.decode = timing;
    // Builds before 2025 released a slot before they printed its timings.
    if (kind === "prompt") return [];
    if (!memory.released)
      return memory.newDialect ? [] : [{ type: "slot-progress", slot, task, progress: shown(timing) }];
    this.slots.delete(slot);
    return [{ type: "slot-released", slot, task: memory.task, generation: generationOf(slot, memory, null) }];
  }

  private released({ slot, task, message }: SlotLine): BackendEvent[] {
    const memory = this.memoryOf(slot, task);
    const match = MESSAGES.released.exec(message);
    const held = match !== null && match[1] === "tokens" ? number(match[2]) : null;
    const generation = generationOf(slot, memory, held);
    if (generation === null) memory.released = true;
    else this.slots.delete(slot);
    return [{ type: "slot-released", slot, task, generation }];
  }

  /** What is known of the slot's present task: nothing, when the line is of another task than before. */
  private memoryOf(slot: number, task: number | null): SlotMemory {
    const known = this.slots.get(slot);
    return known !== undefined && known.task === task ? known : this.remember(slot, task);
  }

  private remember(slot: number, task: number | null): SlotMemory {
    const memory: SlotMemory = {
      task,
      promptTokens: null,
      evaluated: null,
      decode: null,
      newDialect: false,
      inexact: false,
      released: false,
    };
    this.slots.set(slot, memory);
    return memory;
  }
}

export const createLlamaLogReader = (): LogReader => new LlamaLogReader();
