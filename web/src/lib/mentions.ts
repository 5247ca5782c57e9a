// Finds `@name` in a text: at word boundaries, case-folded, the longest known name first, as the server does.

export interface Mention {
  start: number;
  end: number;
  name: string;
}

const WORD = /[\p{L}\p{N}_]/u;

function fold(text: string): string {
  return text.normalize('NFC').toLowerCase();
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && WORD.test(character);
}

/** The mentions of known names in a text, from left to right. */
export function findMentions(text: string, names: Iterable<string>): Mention[] {
  if (!text.includes('@')) return [];
  const known = [...names].filter((name) => name !== '').sort((a, b) => b.length - a.length);
  const found: Mention[] = [];
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    if (isWord(text[at - 1])) continue;
    const start = at + 1;
    const name = known.find((one) => {
      const end = start + one.length;
      return fold(text.slice(start, end)) === fold(one) && !isWord(text[end]);
    });
    if (name === undefined) continue;
    found.push({ start: at, end: start + name.length, name });
    at = start + name.length - 1;
  }
  return found;
}

/** Whether a text mentions one name; `names` are all known ones, so that a longer one wins. */
export function mentions(text: string, name: string, names: Iterable<string>): boolean {
  const wanted = fold(name);
  return findMentions(text, [...names, name]).some((mention) => fold(mention.name) === wanted);
}

/** The unfinished mention just before the caret, for completing it. */
export function mentionAt(text: string, caret: number): { start: number; query: string } | null {
  const at = text.lastIndexOf('@', caret - 1);
  if (at === -1 || isWord(text[at - 1])) return null;
  const query = text.slice(at + 1, caret);
  return query.length > 64 || /[\n@]/.test(query) || /\s$/.test(query) ? null : { start: at, query };
}

/** The names that continue a query, those that start with it first. */
export function complete(query: string, names: readonly string[], limit: number): string[] {
  const wanted = fold(query);
  const starts = names.filter((name) => fold(name).startsWith(wanted));
  const inside = names.filter((name) => !fold(name).startsWith(wanted) && fold(name).includes(wanted));
  return [...starts, ...inside].slice(0, limit);
}
