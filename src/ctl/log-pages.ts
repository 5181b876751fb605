import { z } from "zod";
import { type LogLine, logLine } from "../contract/frames.ts";
import type { Api } from "./api.ts";
import { instancePath } from "./calls.ts";

/** What a log already holds, read page by page. */

const PAGE = 10_000;
const page = z.array(logLine);

type Query = Record<string, string | number | undefined>;

const readPage = async (api: Api, id: string, query: Query, signal?: AbortSignal): Promise<LogLine[]> =>
  (await api.request(instancePath(id, "/logs"), page, { query, signal })).value;

/** Seq of the newest line; -1 where there is none. */
export const newestSeq = async (api: Api, id: string, signal?: AbortSignal): Promise<number> =>
  (await readPage(api, id, { tail: 1, limit: 1 }, signal))[0]?.seq ?? -1;

export interface LogRange {
  /** Only the last so many lines; null is all. */
  tail: number | null;
  /** Only lines that were read then or later; RFC 3339. */
  since: string | null;
}

/** The lines of one log from where it is asked for up to its present end. */
export class Backlog {
  /** Seq up to which everything was given. */
  last = -1;
  private end: number | null = null;
  /** Begins at a tail or a time, wherever that is. */
  private chosen: boolean;

  /** @param tellGap of lines that are no longer held, both ends included */
  constructor(
    private readonly api: Api,
    private readonly id: string,
    private readonly range: LogRange,
    private readonly tellGap: (from: number, to: number) => void,
  ) {
    this.chosen = range.tail !== null || range.since !== null;
  }

  /** What was asked for by its distance from the end or by a time can be asked for only once. */
  get mayGoOn(): boolean {
    return !this.chosen;
  }

  /** The next lines; none at its end. */
  async next(): Promise<LogLine[]> {
    this.end ??= await newestSeq(this.api, this.id);
    if (this.last >= this.end) return [];
    const { tail, since } = this.range;
    const start = this.chosen
      ? { after: -1, tail: tail ?? undefined, since: since ?? undefined }
      : { after: this.last };
    const lines = tail === 0 ? [] : await readPage(this.api, this.id, { ...start, limit: PAGE });
    const [first] = lines;
    if (first === undefined) {
      // Where no line is late enough, what comes behind the newest one is.
      if (this.chosen) this.last = this.end;
      this.chosen = false;
      return [];
    }
    if (!this.chosen && first.seq > this.last + 1) this.tellGap(this.last + 1, first.seq - 1);
    this.chosen = false;
    this.last = lines.at(-1)?.seq ?? this.last;
    return lines;
  }
}
