import type { Instance } from "../contract/index.ts";
import { MASK } from "./body.ts";
import { may, type Principal } from "./principal.ts";

/** An instance as the asker may see it: its key is shown only to an asker who may set it. */
export const shownTo = (asker: Principal, view: Instance): Instance =>
  may(asker, "admin") ? view : { ...view, config: { ...view.config, api_key: MASK } };
