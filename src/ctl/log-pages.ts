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
}

const readPage = async (
  api: Api,
  id: string,
  query: Record<string, number | undefined>,
  signal?: AbortSignal,
): Promise<LogLine[]> => (await api.request(instancePath(id, "/logs"), page, { query, signal })).value;

/**
 * Seq after which the lines begin that came at `moment` or later. Times never run back in a log, so halving
 * finds it: some twenty short requests for a million lines.
 * @param moment ms since 1970
 */
export const seqBefore = async (api: Api, id: string, moment: number): Promise<number> => {
  const [[first], [last]] = await Promise.all([
    readPage(api, id, { after: -1, limit: 1 }),
    readPage(api, id, { tail: 1, limit: 1 }),
  ]);
  if (first === undefined || last === undefined || Date.parse(first.timestamp) >= moment) return -1;
  let before = first.seq;
  let after = last.seq + 1;
  // Line `before` is too early, and line `after` is late enough or not there.
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    const [line] = await readPage(api, id, { after: middle - 1, limit: 1 });
    if (line !== undefined && line.seq < after && Date.parse(line.timestamp) < moment) before = line.seq;
    else after = middle;
  }
  return before;
};

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
  { after, tail }: LogStart,
  onSeq: (seq: number) => void,
): AsyncGenerator<LogPiece> {
  let last = after;
  onSeq(last);
  let range: Record<string, number | undefined> = { after, tail: tail ?? undefined };
  for (;;) {
    const lines = await readPage(api, id, { ...range, limit: PAGE });
    const first = lines[0];
    if (first === undefined) return;
    // The beginning of a tail is where it is; that of everything else is what was asked for.
    if (range.tail === undefined && first.seq > last + 1) yield { gap: { from: last + 1, to: first.seq - 1 } };
    last = lines.at(-1)?.seq ?? last;
    onSeq(last);
    yield { lines };
    if (lines.length < PAGE) return;
    range = { after: last };
  }
}
