import type { Instance } from "../contract/index.ts";
import { MASK } from "./body.ts";
import { may, type Principal } from "./principal.ts";

/** An instance as the one who asks may see it: its key is shown to those alone who may set it. */
export const shownTo = (asker: Principal, view: Instance): Instance =>
  may(asker, "admin") ? view : { ...view, config: { ...view.config, api_key: MASK } };
