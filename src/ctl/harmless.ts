/** Texts from elsewhere, so that they cannot take over a terminal. */

/** What could take over a terminal: every sequence but colours, and every control character but these and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const SEQUENCES = /\u001b(?!\[[\d;]*m)(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)?/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROLS = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const COLORS = /\u001b\[[\d;]*m/g;

/** A line from elsewhere as it may stand on a terminal. */
export const harmless = (line: string, colored: boolean): string => {
  const safe = line.replace(SEQUENCES, "").replace(CONTROLS, "");
  return colored ? safe : safe.replace(COLORS, "");
};
