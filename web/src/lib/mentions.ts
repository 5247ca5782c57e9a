// Finds `@name` in a text: at word boundaries, case-folded, the longest known name first, as the server does.

export interface Mention {
  start: number;
  end: number;
  name: string;
}

/** The longest list of names that is looked through. */
export const MOST_KNOWN = 1000;
/** The most signs of a mention that are looked at in one text. */
const MOST_SIGNS = 200;

const WORD = /[\p{Alphabetic}\p{N}_]/u;
const ASCII = /^[\0-\x7f]*$/;
// What may be composed into one character stays together: a character with its marks, and Korean letters.
const PIECES = /(?:[\u1100-\u11ff]+|[^\p{M}]|^)\p{M}*/gu;

/** When two names are the same: Unicode's canonical caseless match, as on the server. */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  // Upper case is where full folding and JavaScript meet (ß, ẞ, ſ, ς); only the Turkish ı must not become an i.
  const parts = text.normalize('NFD').split('ı');
  const folded = parts.map((part) => [...part.toLowerCase().toUpperCase()].map((one) => one.toLowerCase()).join(''));
  return folded.join('ı').normalize('NFC');
}

/** A folded text, and where each place of it is in the text itself. */
interface Folded {
  text: string;
  at: (place: number) => number;
}

function foldInPlace(text: string): Folded {
  if (ASCII.test(text)) return { text: text.toLowerCase(), at: (place) => place };
  let folded = '';
  const places: number[] = [];
  for (const { 0: piece, index } of text.matchAll(PIECES)) {
    const one = fold(piece);
    folded += one;
    for (let inside = 0; inside < one.length; inside++) places.push(inside === 0 ? index : index + piece.length);
  }
  places.push(text.length);
  return { text: folded, at: (place) => places[place] ?? text.length };
}

/** Known names by their folded form, and how long those are, the longest first. */
interface Known {
  names: Map<string, string>;
  lengths: number[];
}

const remembered = new WeakMap<readonly string[], Known>();

/** Folds a list of names once for all the texts that are looked through for them. */
function known(names: readonly string[]): Known {
  const before = remembered.get(names);
  if (before) return before;
  const byFolded = new Map<string, string>();
  for (const name of names.slice(0, MOST_KNOWN)) {
    const folded = fold(name);
    if (folded !== '' && !byFolded.has(folded)) byFolded.set(folded, name);
  }
  const lengths = [...new Set([...byFolded.keys()].map((folded) => folded.length))].sort((a, b) => b - a);
  const made = { names: byFolded, lengths };
  remembered.set(names, made);
  return made;
}

function isWordAt(text: string, place: number): boolean {
  const code = text.codePointAt(place);
  return code !== undefined && WORD.test(String.fromCodePoint(code));
}

function isWordBefore(text: string, place: number): boolean {
  if (place === 0) return false;
  const isPair = /[\udc00-\udfff]/.test(text[place - 1]!) && /[\ud800-\udbff]/.test(text[place - 2] ?? '');
  return isWordAt(text, place - (isPair ? 2 : 1));
}

/** The mentions of known names in a text, from left to right. */
export function findMentions(text: string, names: readonly string[]): Mention[] {
  if (!text.includes('@')) return [];
  const { names: byFolded, lengths } = known(names);
  const folded = foldInPlace(text);
  const found: Mention[] = [];
  let at = folded.text.indexOf('@');
  for (let signs = 0; at !== -1 && signs < MOST_SIGNS; signs++) {
    let next = at + 1;
    if (!isWordBefore(folded.text, at)) {
      const length = lengths.find(
        (one) =>
          at + 1 + one <= folded.text.length &&
          byFolded.has(folded.text.slice(at + 1, at + 1 + one)) &&
          !isWordAt(folded.text, at + 1 + one),
      );
      if (length !== undefined) {
        next += length;
        found.push({ start: folded.at(at), end: folded.at(next), name: byFolded.get(folded.text.slice(at + 1, next))! });
      }
    }
    at = folded.text.indexOf('@', next);
  }
  return found;
}

/** Whether a text mentions one name; `names` are all known ones, so that a longer one wins. */
export function mentions(text: string, name: string, names: readonly string[]): boolean {
  const wanted = fold(name);
  const all = known(names).names.has(wanted) ? names : [name, ...names];
  return findMentions(text, all).some((mention) => fold(mention.name) === wanted);
}

/** The unfinished mention just before the caret, for completing it. */
export function mentionAt(text: string, caret: number): { start: number; query: string } | null {
  const at = text.lastIndexOf('@', caret - 1);
  if (at === -1 || caret - at > 65 || isWordBefore(text, at)) return null;
  const query = text.slice(at + 1, caret);
  return /[\n@]/.test(query) || /\s$/.test(query) ? null : { start: at, query };
}

/** The names that continue a query, those that start with it first. */
export function complete(query: string, names: readonly string[], limit: number): string[] {
  const wanted = fold(query);
  const folded = names.map((name) => [name, fold(name)] as const);
  const starts = folded.filter(([, name]) => name.startsWith(wanted));
  const inside = folded.filter(([, name]) => !name.startsWith(wanted) && name.includes(wanted));
  return [...starts, ...inside].slice(0, limit).map(([name]) => name);
}
