import type { SlotsProbe } from "./backend.ts";

export const slotsProbe = (apiKey: string): SlotsProbe => ({
  path: "/slots",
  headers: { Authorization: `Bearer ${apiKey}` },
  parse: () => [],
});
