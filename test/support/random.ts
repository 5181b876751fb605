/** Numbers that look random and are the same in every run, so that a failure can be seen again. */
export const seeded = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};

/** A whole number from 0 to `below` - 1. */
export const below = (random: () => number, limit: number): number => Math.floor(random() * limit);
