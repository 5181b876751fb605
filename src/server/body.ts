import type { Context } from "hono";
import { type FieldError, type InstanceConfig, parseConfig, toFieldError } from "../contract/index.ts";
import { decodeUtf8, EncodingError } from "../contract/utf8.ts";
import { placeOfJsonError } from "../store/json-place.ts";

/** The body of a create or an update: `{config}`. Read by hand, since a config of any age and any client is taken. */

export type ConfigBody = { config: InstanceConfig; warnings: string[] } | { invalid: FieldError[] };

const problem = (type: string, loc: string[], msg: string): ConfigBody => ({
  invalid: [{ type, loc, msg, input: null }],
});

/** JSON whatever the content type says: `curl -d` sends it as a form. */
export const readConfigBody = async (c: Context): Promise<ConfigBody> => {
  let text = "";
  let body: unknown;
  try {
    text = decodeUtf8(new Uint8Array(await c.req.arrayBuffer()));
    body = JSON.parse(text);
  } catch (error) {
    if (error instanceof EncodingError) {
      const { line, column } = error;
      return problem("json_invalid", ["body"], `Malformed JSON at line ${line}, column ${column}: it is not UTF-8`);
    }
    const place = await placeOfJsonError(text);
    const where = place === null ? "" : ` at line ${place.line}, column ${place.column}: ${place.problem}`;
    return problem("json_invalid", ["body"], `Malformed JSON${where}`);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return problem("object_type", ["body"], 'Input should be an object: {"config": {…}}');
  }
  if (!("config" in body)) return problem("missing", ["body", "config"], "Field required");
  const parsed = parseConfig(body.config);
  if (!parsed.success) {
    return {
      invalid: parsed.issues.map(({ path, issue, input }) => toFieldError(["body", "config", ...path], issue, input)),
    };
  }
  return { config: parsed.config, warnings: parsed.unknownKeys.map((key) => `unknown key '${key}' was left out`) };
};
