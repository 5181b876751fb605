import type { Intent } from "../store/stored-instance.ts";
import { NotSavedError } from "./errors.ts";
import type { InstanceState } from "./instance-state.ts";

/** What a person wants of an instance, changed one after another and made durable; where that fails, it is as before. */
export class IntentKeeper {
  /** The last change, until it is stored or refused. */
  private changing: Promise<unknown> = Promise.resolve();
  private saving: Promise<unknown> = Promise.resolve();

  /** @param write makes the configuration durable */
  constructor(
    private readonly state: InstanceState,
    private readonly write: () => Promise<void>,
  ) {}

  /** Resolves when no change is under way. */
  get settled(): Promise<unknown> {
    return this.changing;
  }

  /** Resolves when what was last written of the instance is stored, or could not be. */
  get saved(): Promise<unknown> {
    return this.saving;
  }

  /**
   * @param begin what is begun before the disk is waited for
   * @throws NotSavedError, what `begin` throws
   */
  set(intent: Intent, begin?: () => void): Promise<void> {
    const stored = this.changing.then(async () => {
      const before = this.state.intent;
      this.state.intent = intent;
      try {
        begin?.();
        await this.save();
      } catch (error) {
        this.state.intent = before;
        throw error;
      }
    });
    this.changing = stored.catch(() => undefined);
    return stored;
  }

  /** @throws NotSavedError */
  save(): Promise<void> {
    const saving = this.write().catch((error: unknown) => {
      throw new NotSavedError(error);
    });
    this.saving = saving.catch(() => undefined);
    return saving;
  }
}
