/** Keys out of what a terminal in raw mode sends: a character each, or the name of a key. */

const NAMES: Readonly<Record<string, string>> = {
  "\u001b[A": "up",
  "\u001bOA": "up",
  "\u001b[B": "down",
  "\u001bOB": "down",
  "\u001b[5~": "pageup",
  "\u001b[6~": "pagedown",
  "\u001b[H": "home",
  "\u001bOH": "home",
  "\u001b[1~": "home",
  "\u001b[F": "end",
  "\u001bOF": "end",
  "\u001b[4~": "end",
  "\u001b": "escape",
  "\r": "enter",
  "\n": "enter",
  "\u007f": "backspace",
  "\b": "backspace",
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that keys send
const KEY = /\u001b\[[\d;]*[A-Za-z~]|\u001bO[A-Z]|[\s\S]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: likewise
const BEGUN = /\u001b(?:\[[\d;]*|O)$/;

/** Splits chunks into keys; a sequence that is cut in two is put together. */
export const keyReader = (): ((chunk: string) => string[]) => {
  let rest = "";
  return (chunk) => {
    const text = rest + chunk;
    rest = BEGUN.exec(text)?.[0] ?? "";
    const whole = rest === "" ? text : text.slice(0, -rest.length);
    return [...whole.matchAll(KEY)].map(([key]) => NAMES[key] ?? key);
  };
};
