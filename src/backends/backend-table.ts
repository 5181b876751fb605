import type { BackendDefinition } from "../contract/index.ts";
import type { Backend } from "./backend.ts";

type Table<L extends readonly Backend<BackendDefinition>[]> = {
  [B in L[number] as B["definition"]["type"]]: B;
};

/** Backends by their types. */
export const backendTable = <const L extends readonly Backend<BackendDefinition>[]>(list: L): Table<L> =>
  Object.fromEntries(list.map((backend) => [backend.definition.type, backend])) as Table<L>;
