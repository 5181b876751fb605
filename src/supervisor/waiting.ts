/** Waiting that ends when the caller's patience does, and leaves what is waited for alone. */

/** Whether `promise` takes longer than so many milliseconds. @throws what it rejects with before that */
export const isLate = async (promise: Promise<unknown>, ms: number): Promise<boolean> => {
  let timer: Timer | undefined;
  const late = new Promise<true>((resolve) => {
    timer = setTimeout(() => resolve(true), ms);
  });
  try {
    return await Promise.race([promise.then(() => false), late]);
  } finally {
    clearTimeout(timer);
  }
};

/** Those who wait for something to come true, and are told whenever it may have. */
export class Watchers {
  private readonly looks = new Set<() => void>();

  tell(): void {
    for (const look of [...this.looks]) look();
  }

  /** Resolves when `isThere` gives true, or after so many milliseconds. @throws what `isThere` throws */
  until(isThere: () => boolean, ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        clearTimeout(timer);
        this.looks.delete(look);
        outcome();
      };
      const look = (): void => {
        try {
          if (isThere()) settle(resolve);
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const timer = setTimeout(() => settle(resolve), ms);
      this.looks.add(look);
      look();
    });
  }
}
