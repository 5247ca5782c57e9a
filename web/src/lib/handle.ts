// A friendly name for somebody who has not chosen one yet.

const FIRST = [
  'amber', 'bright', 'calm', 'clever', 'copper', 'crisp', 'daring', 'eager', 'early', 'fair', 'gentle', 'golden',
  'honest', 'jolly', 'keen', 'kind', 'lively', 'lucid', 'mellow', 'merry', 'nimble', 'noble', 'patient', 'proud',
  'quick', 'quiet', 'silver', 'sunny', 'swift', 'tidy', 'warm', 'wise',
];
const SECOND = [
  'badger', 'beaver', 'bison', 'crane', 'dolphin', 'falcon', 'ferret', 'finch', 'fox', 'gecko', 'hare', 'heron',
  'ibex', 'jay', 'koala', 'lark', 'lemur', 'lynx', 'marten', 'newt', 'orca', 'osprey', 'otter', 'owl', 'panda',
  'puffin', 'raven', 'robin', 'seal', 'stork', 'tapir', 'wren',
];

/** Two words with a hyphen, such as `calm-otter`; `chance` gives a number from 0 up to 1. */
export function makeHandle(chance: () => number): string {
  const pick = (words: string[]) => words[Math.min(words.length - 1, Math.floor(chance() * words.length))]!;
  return `${pick(FIRST)}-${pick(SECOND)}`;
}

/** Another name close to one that is taken: `anna` becomes `anna-27`, within 64 characters. */
export function suggestHandle(taken: string, chance: () => number): string {
  const stem = taken.trim().replace(/-\d{2}$/, '');
  return `${[...stem].slice(0, 61).join('')}-${10 + Math.min(89, Math.floor(chance() * 90))}`;
}
