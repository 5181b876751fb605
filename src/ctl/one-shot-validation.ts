import { z } from "zod";

/**
 * Imported before any schema is made. zod compiles a function for each object that it checks, which pays from some
 * hundred answers on; most commands check one or two, and a log has a line for each check.
 */
z.config({ jitless: !process.argv.includes("logs") });
