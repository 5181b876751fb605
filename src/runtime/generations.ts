import type { GenerationMetrics } from "../contract/index.ts";

/** Which generation `GET …/last-generation` answers with. */

export interface GenerationFilter {
  /** Milliseconds since 1970: only generations finished at or after it. */
  after?: number | undefined;
  /** Only generations finished in the last so many seconds. */
  withinS?: number | undefined;
}

export type GenerationAnswer =
  | { found: true; generation: GenerationMetrics }
  /** The text of the 404. */
  | { found: false; detail: string };

const missing = (detail: string): GenerationAnswer => ({ found: false, detail });

/** The newest generation that passes both filters; `generations` are newest last, `now` is in milliseconds since 1970. */
export const selectGeneration = (
  generations: readonly GenerationMetrics[],
  filter: GenerationFilter,
  now: number,
): GenerationAnswer => {
  const newest = generations.at(-1);
  if (newest === undefined) return missing("No generation metrics available");
  const finishedAt = newest.finished_at === null ? Number.NEGATIVE_INFINITY : Date.parse(newest.finished_at);
  if (filter.after !== undefined && finishedAt < filter.after) {
    return missing("No generation metrics after the specified timestamp");
  }
  if (filter.withinS !== undefined && finishedAt < now - filter.withinS * 1000) {
    return missing("No recent generation metrics within the specified window");
  }
  return { found: true, generation: newest };
};
