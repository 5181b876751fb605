/** What a person has chosen to see of `top`, and what each key makes of it. Pure. */

export const sorts = ["busy", "name", "status", "tokens", "uptime"] as const;
export type Sort = (typeof sorts)[number];

export interface TopView {
  sort: Sort;
  reversed: boolean;
  /** Only instances whose name has this in it. */
  filter: string;
  /** The filter is being typed: keys are its text. */
  typing: boolean;
  /** Rows that are scrolled over. */
  offset: number;
}

export const firstView: TopView = { sort: "busy", reversed: false, filter: "", typing: false, offset: 0 };

const SORT_KEYS: Readonly<Record<string, Sort>> = { b: "busy", n: "name", s: "status", t: "tokens", u: "uptime" };

const whileTyping = (view: TopView, key: string): TopView => {
  if (key === "enter") return { ...view, typing: false };
  if (key === "escape") return { ...view, typing: false, filter: "", offset: 0 };
  if (key === "backspace") return { ...view, filter: [...view.filter].slice(0, -1).join(""), offset: 0 };
  return [...key].length === 1 && key >= " " ? { ...view, filter: view.filter + key, offset: 0 } : view;
};

const scrolled = (view: TopView, key: string, page: number, total: number): TopView => {
  const steps: Readonly<Record<string, number>> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    home: -total,
    end: total,
  };
  const step = Object.hasOwn(steps, key) ? (steps[key] ?? 0) : 0;
  return { ...view, offset: Math.max(0, Math.min(view.offset + step, total - page)) };
};

/**
 * @param key a character, or the name of a key: up, down, pageup, pagedown, home, end, enter, escape, backspace
 * @param page rows that are shown at once
 * @param total rows that there are
 */
export const press = (view: TopView, key: string, page: number, total: number): TopView => {
  if (view.typing) return whileTyping(view, key);
  if (key === "/") return { ...view, typing: true };
  if (key === "escape") return { ...view, filter: "", offset: 0 };
  if (key === "r") return { ...view, reversed: !view.reversed, offset: 0 };
  const sort = Object.hasOwn(SORT_KEYS, key) ? SORT_KEYS[key] : undefined;
  return sort === undefined ? scrolled(view, key, page, total) : { ...view, sort, reversed: false, offset: 0 };
};

/** How many rows a screen has room for, when its head gives way before the last of them does. */
export const pageOf = (head: number, height: number): number => Math.max(1, height - head - 2);

const range = ({ offset }: TopView, page: number, total: number): string =>
  total <= page ? `${total}` : `${offset + 1}-${Math.min(total, offset + page)} of ${total}`;

const footer = (view: TopView, page: number, total: number): string => {
  if (view.typing) return `filter: ${view.filter}_  enter keeps it, escape ends it`;
  const filter = view.filter === "" ? "" : `  filter: ${view.filter}`;
  const order = `${view.sort}${view.reversed ? ", reversed" : ""}`;
  return `q quits  ${range(view, page, total)}  by ${order}${filter}  ↑↓ scroll  b n s t u sort  r reverse  / filter`;
};

/** The screen: as much of the head as there is room for, the titles, the rows from the offset on, and the keys. */
export const windowed = (
  { head, titles, rows }: { head: readonly string[]; titles: string; rows: readonly string[] },
  view: TopView,
  height: number,
): { lines: string[]; footer: string } => {
  const kept = head.slice(0, Math.max(0, height - 3));
  const page = pageOf(kept.length, height);
  const offset = Math.max(0, Math.min(view.offset, rows.length - page));
  const lines = [...kept, titles, ...rows.slice(offset, offset + page)];
  return { lines: lines.slice(0, Math.max(0, height - 1)), footer: footer({ ...view, offset }, page, rows.length) };
};
