import type { z } from "zod";
import { answerSchema, type Fields, requestSchema } from "../fields.ts";
import type { CommonFields } from "./common.ts";

/** What the contract has to know of a backend: its fields, and what cannot be read from them. */

type ConfigFields = Fields & CommonFields;

interface Described<T extends string, F extends ConfigFields> {
  /** As `backend_type` names it. */
  type: T;
  /** As people read it. */
  title: string;
  /** What its schemas are called in the description of the API, before `Config` and `ConfigRequest`. */
  schemaName: string;
  fields: F;
  /** Which configs without `backend_type` are its own; null where none is. */
  implied: {
    /** Behind "a config". */
    words: string;
    by(config: Readonly<Record<string, unknown>>): boolean;
  } | null;
  /** A whole config. No key in it is a real one. */
  example: NoInfer<z.output<ReturnType<typeof requestSchema<F>>>>;
}

/** Types and schemas that follow from the fields. */
export const defineBackend = <const T extends string, F extends ConfigFields>(described: Described<T, F>) => ({
  ...described,
  request: requestSchema(described.fields).meta({ id: `${described.schemaName}ConfigRequest` }),
  answer: answerSchema(described.fields).meta({ id: `${described.schemaName}Config` }),
});

export type BackendDefinition = ReturnType<typeof defineBackend<string, ConfigFields>>;

/** A valid config of the backend. */
export type ConfigOf<D extends BackendDefinition> = z.output<D["request"]>;
