import { z } from "zod";

/** Further keys of a daemon, beside API_KEY: what each may do, and until when. */

/**
 * `admin` may do everything. `read` is every GET and WebSocket, without the keys of the instances. `infer` is the use of
 * the models.
 */
export const scopes = ["admin", "read", "infer"] as const;
export type Scope = (typeof scopes)[number];

const scopeList = z
  .array(z.enum(scopes, { error: `Input should be one of ${scopes.map((scope) => `'${scope}'`).join(", ")}` }), {
    error: "Input should be a list of scopes",
  })
  .min(1, "Input should name at least one scope")
  .meta({ description: "admin: everything. read: every GET and WebSocket, keys masked. infer: the use of the models" });

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;

export const keyRequest = z
  .strictObject(
    {
      name: z
        .string({ error: "Input should be a string" })
        .trim()
        .min(1, "Input should not be empty")
        .max(64, "Input should have at most 64 characters")
        .refine((name) => !CONTROL.test(name), "Input should not contain control characters")
        .meta({ description: "What the key is for; the daemon's log calls its user so" }),
      scopes: scopeList,
      expires_at: z.iso
        .datetime({ offset: true, error: "Input should be an RFC 3339 time with a zone, as 2027-01-31T12:00:00Z" })
        .nullish()
        .meta({ description: "After which it is no key any more; null: never" }),
    },
    { error: (issue) => (issue.code === "unrecognized_keys" ? "There is no such field" : "Input should be an object") },
  )
  .meta({ id: "KeyRequest" });
export type KeyRequest = z.output<typeof keyRequest>;

export const keyInfo = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(z.enum(scopes)),
    prefix: z.string().meta({ description: "How the key begins, to tell it by" }),
    created_at: z.string().meta({ description: "RFC 3339, UTC" }),
    expires_at: z.string().nullable(),
    last_used_at: z.string().nullable().meta({ description: "To the minute; RFC 3339, UTC" }),
  })
  .meta({ id: "KeyInfo", description: "A key, without the key" });
export type KeyInfo = z.output<typeof keyInfo>;

export const keyCreated = keyInfo
  .extend({ key: z.string().meta({ description: "The key itself, which is told this once" }) })
  .meta({ id: "KeyCreated" });
export type KeyCreated = z.output<typeof keyCreated>;
