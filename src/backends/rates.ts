import type { SlotProgress } from "./backend.ts";

/** Rates as they are shown: to hundredths, which is what llama-server prints. */

const hundredths = (value: number): number => Math.round(value * 100) / 100;

/** Tokens a second, and milliseconds a token beside it; null for what is no rate: 0, infinite, not a number. */
export const decodeRate = (
  tokensPerSecond: number | null,
): Required<Pick<SlotProgress, "decode_tps" | "decode_ms_per_token">> => {
  const tps = tokensPerSecond === null ? 0 : hundredths(tokensPerSecond);
  if (tokensPerSecond === null || !Number.isFinite(tps) || tps <= 0) {
    return { decode_tps: null, decode_ms_per_token: null };
  }
  return { decode_tps: tps, decode_ms_per_token: hundredths(1000 / tokensPerSecond) };
};
