import type { Context } from "hono";
import { isRecord } from "../common/record.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { type FieldError, type InstanceConfig, parseConfig, refusedValues, toFieldError } from "../contract/index.ts";
import { placeOfJsonError } from "../store/json-place.ts";

/** Bodies; that of a create or an update is `{config}`. Read by hand, since a config of any age and any client is taken. */

/** The body does not fit: each field that is wrong. */
export class InvalidBodyError extends Error {
  constructor(readonly fields: FieldError[]) {
    super("The body is not valid");
  }
}

export interface ParsedBody {
  config: InstanceConfig;
  /** Keys that were left out of it. */
  unknown: string[];
}

type RawConfig = Readonly<Record<string, unknown>>;

/** Stands for a key that is not shown, and in what a client sends for one that it was not shown. */
export const MASK = "********";

const refuse = (type: string, loc: string[], msg: string): InvalidBodyError =>
  new InvalidBodyError([{ type, loc, msg, input: null }]);

/**
 * The body as JSON, whatever the content type says: `curl -d` sends it as a form.
 * @throws InvalidBodyError where it is none
 */
export const readJsonBody = async (c: Context): Promise<unknown> => {
  let text = "";
  try {
    text = decodeUtf8(new Uint8Array(await c.req.arrayBuffer()));
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof EncodingError) {
      const { line, column } = error;
      throw refuse("json_invalid", ["body"], `Malformed JSON at line ${line}, column ${column}: it is not UTF-8`);
    }
    const place = placeOfJsonError(text);
    const where = place === null ? "" : ` at line ${place.line}, column ${place.column}: ${place.problem}`;
    throw refuse("json_invalid", ["body"], `Malformed JSON${where}`);
  }
};

/** The `config` of the body. @throws InvalidBodyError where there is none */
export const readConfigBody = async (c: Context): Promise<unknown> => {
  const body = await readJsonBody(c);
  if (!isRecord(body)) throw refuse("object_type", ["body"], 'Input should be an object: {"config": {…}}');
  if (!("config" in body)) throw refuse("missing", ["body", "config"], "Field required");
  return body.config;
};

/** @param asked the fields that the request names, where `given` has others too @throws InvalidBodyError */
export const parseBody = (given: unknown, asked: unknown = given): ParsedBody => {
  const parsed = parseConfig(given);
  if (!parsed.success) {
    throw new InvalidBodyError(
      parsed.issues.map(({ path, issue, input }) => toFieldError(["body", "config", ...path], issue, input)),
    );
  }
  const { config, unknownKeys } = parsed;
  const refused = refusedValues(config.backend_type, isRecord(asked) ? asked : {});
  if (refused.length > 0) throw new InvalidBodyError(refused);
  return { config, unknown: unknownKeys };
};

/** A key that is not given, or only its mask, stays as it is. */
const withKey = (given: RawConfig, { api_key }: InstanceConfig): RawConfig =>
  [undefined, null, "", MASK].some((kept) => kept === given.api_key) ? { ...given, api_key } : given;

/** A whole config in the place of `before`. @throws InvalidBodyError */
export const replacedConfig = (before: InstanceConfig, given: unknown): ParsedBody =>
  parseBody(isRecord(given) ? withKey(given, before) : given);

/** `before` with the fields that are given; null is a field's default. @throws InvalidBodyError */
export const mergedConfig = (before: InstanceConfig, given: unknown): ParsedBody => {
  if (!isRecord(given)) return parseBody(given);
  const { config, unknown } = parseBody({ ...before, ...withKey(given, before) }, given);
  // Another backend has none of some fields of the one before, which the client has not named.
  return { config, unknown: unknown.filter((key) => Object.hasOwn(given, key)) };
};
