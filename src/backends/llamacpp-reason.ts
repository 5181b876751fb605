export const llamaReasonLines = (lines: readonly string[]): string[] => lines.slice(-3);
