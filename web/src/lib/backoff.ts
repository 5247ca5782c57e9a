// How long to wait before trying again: doubling up to a cap, with jitter so that a thousand pages
// that lost one server do not come back in the same instant.

const FIRST_MS = 500;
const CAP_MS = 20_000;

/** The wait before retry number `attempt` (from 0); `chance` gives a number from 0 up to 1. */
export function backoff(attempt: number, chance: () => number): number {
  const full = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (full / 2) * chance());
}
