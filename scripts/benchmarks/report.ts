/** How figures are printed: what was measured, what it is held against, and whether that is what we aim at. */

export const figure = (what: string, value: string, aim: string, reached: boolean): void =>
  console.log(`  ${reached ? "ok  " : "MISS"} ${what.padEnd(58)} ${value.padStart(22)}   (aim: ${aim})`);

export const plain = (what: string, value: string): void =>
  console.log(`       ${what.padEnd(58)} ${value.padStart(22)}`);

/** The value below which `share` (0 to 1) of the samples lie. */
export const quantile = (samples: readonly number[], share: number): number => {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
