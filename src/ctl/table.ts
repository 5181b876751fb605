import type { Io, Paint } from "./io.ts";

/** Tables for people: aligned, and never wider than the terminal. */

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  paint?: (row: Row) => Paint;
  align?: "right";
  /** Least columns that it is cut to; without one it is never cut. */
  shrinkTo?: number;
  /** It is left out before others are, the last of these first, where there is no room for all. */
  spare?: true;
}

/** A column of numbers. */
export const numbers = <Row>(
  title: string,
  value: (row: Row) => string,
  more: Partial<Column<Row>> = {},
): Column<Row> => ({ title, value, align: "right", ...more });

/** What is not known, or is not there, is a dash. */
export const orDash = (value: string | number | null | undefined): string => String(value ?? "-");

const GAP = "  ";

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text from elsewhere as it may stand in one cell: the first line, nothing that moves the cursor. */
export const oneLine = (text: string): string => (text.split("\n", 1)[0] ?? "").replace(CONTROL, " ");

/** Cut to so many columns, an ellipsis at the end. */
export const fit = (text: string, width: number): string => {
  if (Bun.stringWidth(text) <= width) return text;
  let cut = "";
  let used = 0;
  for (const character of text) {
    const next = Bun.stringWidth(character);
    if (used + next > width - 1) break;
    cut += character;
    used += next;
  }
  return `${cut}…`;
};

const pad = (text: string, width: number, right: boolean): string => {
  const blanks = " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
  return right ? blanks + text : text + blanks;
};

/** Takes what is too much from the widest of the columns that may shrink, one column of text at a time. */
const shrink = (widths: number[], least: readonly number[], available: number): void => {
  let over = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - available;
  while (over > 0) {
    let widest = -1;
    for (const [at, width] of widths.entries()) {
      const bound = least[at];
      if (bound !== undefined && width > bound && width > (widths[widest] ?? 0)) widest = at;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
};

/** Which columns a terminal has room for when all give way, the first one always. */
const withRoom = (all: readonly Pick<Column<unknown>, "spare">[], least: readonly number[], room: number): number[] => {
  const kept = all.map((_, at) => at);
  const needed = (): number => kept.reduce((sum, at) => sum + (least[at] ?? 0) + GAP.length, -GAP.length);
  while (kept.length > 1 && needed() > room) {
    const spare = kept.findLastIndex((at) => all[at]?.spare === true);
    kept.splice(spare < 0 ? -1 : spare, 1);
  }
  return kept;
};

/** Lines of a table, headings first. @param width columns of text that there are */
export const layOut = <Row>(
  all: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
  paintTitle: Paint,
): string[] => {
  const allCells = rows.map((row) => all.map((column) => oneLine(column.value(row))));
  const natural = all.map((column, at) =>
    Math.max(Bun.stringWidth(column.title), ...allCells.map((cells) => Bun.stringWidth(cells[at] ?? ""))),
  );
  const leastOf = natural.map((own, at) => Math.min(own, all[at]?.shrinkTo ?? own));
  const kept = withRoom(all, leastOf, width);
  const pick = <T>(values: readonly T[]): T[] => kept.flatMap((at) => values.slice(at, at + 1));
  const columns = pick(all);
  const widths = pick(natural);
  shrink(widths, pick(leastOf), width);
  const line = (texts: readonly string[], paint: (at: number) => Paint): string =>
    texts
      .map((text, at) => {
        const room = widths[at] ?? 0;
        const right = columns[at]?.align === "right";
        const padded = at === columns.length - 1 && !right ? fit(text, room) : pad(fit(text, room), room, right);
        return paint(at)(padded);
      })
      .join(GAP);
  const plain: Paint = (text) => text;
  return [
    line(
      columns.map((column) => column.title),
      () => paintTitle,
    ),
    ...rows.map((row, index) => line(pick(allCells[index] ?? []), (at) => columns[at]?.paint?.(row) ?? plain)),
  ].map((text) => (Number.isFinite(width) ? text : text.trimEnd()));
};

export const printTable = <Row>(
  { write, stdout }: Pick<Io, "write" | "stdout">,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void => write(`${layOut(columns, rows, stdout.width(), stdout.palette.dim).join("\n")}\n`);
