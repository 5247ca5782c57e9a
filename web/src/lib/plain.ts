// What the markdown parser may be given, and how the rest looks. Its work on one block can grow with the square of
// the text, so a message is cut into blocks in one pass; a block that is too tangled, and a paragraph or cell that is
// too dense, become plain text with their web addresses, and all others keep their markdown.

/** The longest text that is not cut into blocks first. */
const MOST_WHOLE = 8192;
/** The most quotes, and the most lists and steps of indentation, that a line may stand in. */
const MOST_QUOTES = 4;
const MOST_DEPTH = 16;
/** The most lines of a block that the parser may have to read the whole block again for. */
const MOST_KNOTS = 64;
/** The most lines in a row of a block with a list that are neither blank nor an item. */
const MOST_REST = 400;
/** The most cells of a block, were it a table. */
const MOST_CELLS = 6000;
/** The most steps that the inline markup of one message may take. */
const MOST_STEPS = 1_000_000;

const FENCE = /^( {0,3})(`{3,}|~{3,})([^`\n]*)$/;
const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const CODE = /^(?: {4}| {0,3}\t)/;
const CONTAINERS = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]|$)))+/;
const MARKERS = />|[-*+]|[.)]/g;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const BAR = /^[\s>]*[-=:|][-=:|\s]*$/;
const SIGNS = /[*_~`[\]<!\\@]/g;
const ADDRESS = /https?:\/\/[^\s<>"'`]+/g;

export type Block = { code: false; text: string } | { code: true; text: string; language: string };

/** A text as blocks that the parser may be given one by one, in one pass, line by line. */
export function blocks(text: string): Block[] {
  if (text.length <= MOST_WHOLE && !isTangled(text)) return text.trim() === '' ? [] : [{ code: false, text }];
  const found: Block[] = [];
  let lines: string[] = [];
  let fence: { sign: string; indent: RegExp; language: string } | null = null;
  let wasBlank = false;
  const end = () => {
    if (fence) found.push({ code: true, text: lines.join('\n'), language: fence.language });
    else if (lines.length > 0) found.push({ code: false, text: lines.join('\n').trimEnd() });
    lines = [];
  };
  for (const line of text.split('\n')) {
    const [, indent = '', sign = '', info = ''] = FENCE.exec(line) ?? [];
    if (fence) {
      if (sign.startsWith(fence.sign) && info.trim() === '') {
        end();
        fence = null;
      } else {
        lines.push(line.replace(fence.indent, ''));
      }
      continue;
    }
    const first = lines[0] ?? '';
    const isInList = ITEM.test(first);
    if (sign !== '' && (indent === '' || !isInList)) {
      end();
      fence = { sign, indent: new RegExp(`^ {0,${indent.length}}`), language: info.trim().split(/\s/)[0] ?? '' };
      wasBlank = false;
      continue;
    }
    const isBlank = line.trim() === '';
    if (wasBlank && !isBlank) {
      // Blank lines stand within lists and indented code only.
      const goesOn = isInList ? ITEM.test(line) || /^[ \t]/.test(line) : CODE.test(first) && CODE.test(line);
      if (!goesOn) end();
    }
    if (!isBlank || lines.length > 0) lines.push(line);
    wasBlank = isBlank;
  }
  end();
  return found;
}

/** Whether a block's structure would cost the parser more than its length says. */
export function isTangled(block: string): boolean {
  const lines = block.split('\n');
  let knots = 0;
  let columns = 0;
  let hasItem = false;
  let rest = 0;
  let mostRest = 0;
  let wasQuote = false;
  for (const line of lines) {
    const containers = CONTAINERS.exec(line)?.[0].replace(/\t/g, '    ') ?? '';
    const isQuote = containers.includes('>');
    if (!RULE.test(line)) {
      if ((containers.match(/>/g)?.length ?? 0) > MOST_QUOTES) return true;
      if ((containers.match(MARKERS)?.length ?? 0) + (containers.match(/ {2}/g)?.length ?? 0) > MOST_DEPTH) return true;
    }
    // A line that goes on with a quote without its sign, and one that may underline a heading or head a table.
    if ((wasQuote && !isQuote && line.trim() !== '') || BAR.test(line)) knots += 1;
    wasQuote = isQuote;
    const isItem = /[^\s>]/.test(containers);
    hasItem ||= isItem;
    rest = isItem || line.trim() === '' ? 0 : rest + 1;
    mostRest = Math.max(mostRest, rest);
    columns = Math.max(columns, line.split('|').length - 1);
  }
  return knots > MOST_KNOTS || (hasItem && mostRest > MOST_REST) || columns * lines.length > MOST_CELLS;
}

/** Which of a message's runs of inline text the parser may be given: the cheapest first, while there is room. */
export function parseable(runs: readonly string[]): boolean[] {
  const costs = runs.map(cost);
  const may = runs.map(() => false);
  let room = MOST_STEPS;
  for (const [index] of [...costs.entries()].sort((a, b) => a[1] - b[1])) {
    room -= costs[index]!;
    if (room < 0) break;
    may[index] = true;
  }
  return may;
}

/** About how many steps the parser takes over a run: it may look through all of it for every sign. */
function cost(run: string): number {
  // Code, and a sign within a word, are passed over.
  const bare = run.replace(/`[^`\n]+`/g, '`').replace(/([A-Za-z0-9])_(?=[A-Za-z0-9])/g, '$1');
  const signs = bare.match(SIGNS)?.length ?? 0;
  const longest = (run.match(/\S+|\s+/g) ?? []).reduce((most, { length }) => Math.max(most, length), 0);
  return run.length * (signs + longest / 32);
}

/** A text as HTML without a parser: escaped, with links, for the sanitiser to look at. */
export function linked(text: string, escape: (text: string) => string): string {
  let html = '';
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = escape(withoutStop(found));
    html += `${escape(text.slice(end, index))}<a href="${address}">${address}</a>`;
    end = index + withoutStop(found).length;
  }
  return html + escape(text.slice(end));
}

/** An address without the signs that end a sentence or a bracket around it. */
function withoutStop(address: string): string {
  let end = address.length;
  while (end > 0 && '.,;:!?)]}*_~'.includes(address[end - 1]!)) end -= 1;
  return address.slice(0, end);
}
