/** Waits for conditions, never for time: a test is over when what it waits for is true. */

/** The first value of `look` that is neither undefined, null nor false; errors count as not yet. */
export const until = async <T>(
  what: string,
  look: () => T | Promise<T>,
  limitMs = 55_000,
): Promise<Exclude<T, undefined | null | false>> => {
  const began = performance.now();
  let problem: unknown;
  for (;;) {
    try {
      const value = await look();
      if (value !== undefined && value !== null && value !== false)
        return value as Exclude<T, undefined | null | false>;
      problem = value;
    } catch (error) {
      problem = error;
    }
    if (performance.now() - began > limitMs)
      throw new Error(`waited ${limitMs} ms for ${what}; last: ${String(problem)}`);
    await Bun.sleep(10);
  }
};
