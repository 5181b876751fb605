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
