export const pyserverReasonLines = (lines: readonly string[]): string[] => lines.slice(-3);
