import type { Context } from "hono";

/** What is told in the daemon's log of who asked for something: the program, as it names itself. */

const SHOWN = 60;

/** Only what cannot change the line it stands in. */
export const askerOf = (c: Context): string => {
  const agent = (c.req.header("user-agent") ?? "")
    .replace(/[^\x20-\x7e]/g, "")
    .trim()
    .slice(0, SHOWN);
  return agent === "" ? "a client that does not name itself" : `a client (${agent})`;
};
