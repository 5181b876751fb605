import { describe, expect, test } from "bun:test";
import { firstView, pageOf, press, type TopView, windowed } from "../../src/ctl/top-view.ts";

/** Fifty rows in twenty-four lines: what keys do, and what is on the screen. */

const table = { head: ["head", "memory", ""], titles: "NAME", rows: Array.from({ length: 50 }, (_, n) => `row ${n}`) };
const HEIGHT = 24;
const PAGE = pageOf(table.head.length, HEIGHT);

const pressed = (...keys: string[]): TopView =>
  keys.reduce((view, key) => press(view, key, PAGE, table.rows.length), firstView);

const rowsOf = (view: TopView): string[] =>
  windowed(table, view, HEIGHT).lines.filter((line) => line.startsWith("row"));

describe("scrolling", () => {
  test("moves by rows and pages, and stays between the first row and the last", () => {
    expect(rowsOf(firstView)).toEqual(table.rows.slice(0, PAGE));
    expect(rowsOf(pressed("down", "j"))[0]).toBe("row 2");
    expect(rowsOf(pressed("down", "j", "up", "k", "k"))[0]).toBe("row 0");
    expect(rowsOf(pressed("pagedown"))[0]).toBe(`row ${PAGE}`);
    expect(rowsOf(pressed("end")).at(-1)).toBe("row 49");
    expect(rowsOf(pressed("end", "pagedown", "down"))).toEqual(table.rows.slice(-PAGE));
    expect(rowsOf(pressed("end", "home"))[0]).toBe("row 0");
    const seen = new Set<string>();
    for (let view = firstView, n = 0; n < 4; n++, view = press(view, "pagedown", PAGE, 50))
      for (const row of rowsOf(view)) seen.add(row);
    expect(seen.size).toBe(50);
  });

  test("shows where one is, and keeps the titles; a table that has become shorter is not scrolled past its end", () => {
    const { lines, footer } = windowed(table, pressed("pagedown"), HEIGHT);
    expect(lines).toHaveLength(HEIGHT - 1);
    expect(lines[3]).toBe("NAME");
    expect(footer).toContain(`${PAGE + 1}-${2 * PAGE} of 50`);
    const shorter = { ...table, rows: table.rows.slice(0, 3) };
    expect(windowed(shorter, pressed("end"), HEIGHT).lines.slice(4)).toEqual(shorter.rows);
  });

  test("in a terminal with few rows leaves out of the head before it leaves out the rows", () => {
    expect(windowed(table, firstView, 4).lines).toEqual(["head", "NAME", "row 0"]);
    expect(windowed(table, firstView, 3).lines).toEqual(["NAME", "row 0"]);
    expect(windowed(table, firstView, 1).lines).toEqual([]);
  });
});

describe("keys", () => {
  test("sort, reverse, and begin at the top again", () => {
    expect(pressed("down", "n")).toMatchObject({ sort: "name", reversed: false, offset: 0 });
    expect(pressed("t", "r")).toMatchObject({ sort: "tokens", reversed: true });
    expect(pressed("t", "r", "u")).toMatchObject({ sort: "uptime", reversed: false });
    expect(windowed(table, pressed("n", "r"), HEIGHT).footer).toContain("by name, reversed");
    for (const key of ["x", "toString", "constructor", "é"]) expect(pressed(key)).toEqual(firstView);
  });

  test("behind / are text, until enter keeps the filter or escape ends it", () => {
    expect(pressed("/", "q", "b", "é")).toMatchObject({ typing: true, filter: "qbé" });
    expect(pressed("/", "a", "b", "backspace", "enter")).toMatchObject({ typing: false, filter: "a" });
    expect(pressed("/", "a", "escape")).toMatchObject({ typing: false, filter: "" });
    expect(pressed("/", "a", "enter", "escape").filter).toBe("");
    expect(windowed(table, pressed("/", "a"), HEIGHT).footer).toContain("filter: a_");
  });
});
