import type { Phase } from "../contract/runtime-state.ts";
import type { Paint, Palette } from "./io.ts";

export const paintPhase = (phase: Phase, palette: Palette): Paint => {
  switch (phase) {
    case "prefill":
      return palette.yellow;
    case "generating":
      return palette.green;
    case "idle":
      return palette.dim;
  }
};
