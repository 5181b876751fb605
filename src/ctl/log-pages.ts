import { z } from "zod";
import { type LogLine, logLine } from "../contract/frames.ts";
import type { Api } from "./api.ts";
import { instancePath } from "./calls.ts";

/** What a log already holds, read page by page. */

const PAGE = 10_000;
const page = z.array(logLine);

export interface Gap {
  from: number;
  to: number;
}

/** Lines from..to are no longer held, both ends included. */
export type LogPiece = { gap: Gap } | { lines: LogLine[] };

export interface LogStart {
  /** Only lines with a higher seq. */
  after: number;
  /** Of those, only the last so many; null is all. */
  tail: number | null;
  /** Only lines that were read then or later; RFC 3339. */
  since: string | null;
}

const readPage = async (
  api: Api,
  id: string,
  query: Record<string, string | number | undefined>,
  signal?: AbortSignal,
): Promise<LogLine[]> => (await api.request(instancePath(id, "/logs"), page, { query, signal })).value;

/** Seq of the newest line; -1 where there is none. */
export const newestSeq = async (api: Api, id: string, signal?: AbortSignal): Promise<number> =>
  (await readPage(api, id, { tail: 1, limit: 1 }, signal))[0]?.seq ?? -1;

/**
 * The lines that a log holds from `start` on, up to its present end.
 * @param onSeq told of the seq up to which everything was given
 */
export async function* readLog(
  api: Api,
  id: string,
  { after, tail, since }: LogStart,
  onSeq: (seq: number) => void,
): AsyncGenerator<LogPiece> {
  let last = after;
  onSeq(last);
  // Where no line is late enough, what comes behind the newest one is.
  const newest = since === null ? after : await newestSeq(api, id);
  let range: Record<string, string | number | undefined> = {
    after,
    tail: tail ?? undefined,
    since: since ?? undefined,
  };
  let isChosen = tail !== null || since !== null;
  for (;;) {
    const lines = await readPage(api, id, { ...range, limit: PAGE });
    const first = lines[0];
    if (first === undefined) {
      onSeq(Math.max(last, newest));
      return;
    }
    // The beginning of a tail, or of a time, is where it is; that of everything else is what was asked for.
    if (!isChosen && first.seq > last + 1) yield { gap: { from: last + 1, to: first.seq - 1 } };
    last = lines.at(-1)?.seq ?? last;
    onSeq(last);
    yield { lines };
    if (lines.length < PAGE) return;
    range = { after: last };
    isChosen = false;
  }
}
