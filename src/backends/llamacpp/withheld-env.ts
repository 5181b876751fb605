/**
 * llama-server takes a value for most of its flags from the environment. The daemon's environment reaches it, so a
 * variable that is meant for another llama-server would change what the daemon depends on. Those are withheld; all
 * others (batch size, cache types, draft models, …) are the user's to set. Withheld and not overridden by flags,
 * because builds differ in the flags that they know, and a flag that a build does not know ends it.
 */

/** Behind `LLAMA_ARG_`. Those of the log are called `LLAMA_LOG_…` too, in builds before 2026. */
const DEPENDED_ON: readonly string[] = [
  // Where it listens, how it is spoken to, and whether a health check gets a thread while it streams.
  ...["HOST", "PORT", "REUSE_PORT", "API_PREFIX", "SSL_KEY_FILE", "SSL_CERT_FILE", "THREADS_HTTP"],
  // Which keys let in.
  ...["API_KEY", "API_KEY_FILE"],
  // What tells whether it is at work.
  ...["ENDPOINT_SLOTS", "NO_ENDPOINT_SLOTS"],
  // Which model it loads: the config's. A repository would be asked for on the network first.
  ...["MODEL", "MODEL_URL", "HF_REPO", "HF_FILE", "DOCKER_REPO"],
  // What the model is for: the endpoints that an instance is said to have would be refused.
  ...["EMBEDDINGS", "RERANKING", "POOLING"],
];

/** What tells a llama-server that it is a router's child, or that it is to be a router. */
const ROUTER = /^LLAMA_(?:SERVER_(?:ROUTER_PORT|CHILD_MODE)$|ARG_(?:NO_)?MODELS_)/;

/** The form of the log, how much is in it, and where it goes. */
const LOG = /^LLAMA_(?:ARG_)?(?:NO_)?LOG_/;

const ARGUMENT = "LLAMA_ARG_";

/** Whether a variable of the daemon's environment is kept from llama-server. */
export const isWithheld = (name: string): boolean =>
  LOG.test(name) ||
  ROUTER.test(name) ||
  (name.startsWith(ARGUMENT) && DEPENDED_ON.includes(name.slice(ARGUMENT.length)));
