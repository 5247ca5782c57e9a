// Messages too long or too dense for the markdown parser, whose work may grow with the square of a text:
// shown as plain text with its fenced code and its web addresses, in one pass over it.

/** The longest text that is parsed. */
const MOST_LENGTH = 8192;
/** The most signs of inline markup that are parsed in one text, code aside. */
const MOST_SIGNS = 1000;

const SIGNS = /[*_~`[\]<!\\@]/g;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`\n]*)$/;
const ADDRESS = /https?:\/\/[^\s<>"'`]+/g;

type Piece = { code: false; text: string } | { code: true; text: string; language: string };

/** A text cut into what stands between fences and what does not, line by line. */
function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let lines: string[] = [];
  let fence: { sign: string; language: string } | null = null;
  const end = () => {
    const piece = lines.join('\n');
    if (fence) found.push({ code: true, text: piece, language: fence.language });
    else if (piece.trim() !== '') found.push({ code: false, text: piece.replace(/^\n+/, '').trimEnd() });
    lines = [];
  };
  for (const line of text.split('\n')) {
    const match = FENCE.exec(line);
    const [, sign = '', info = ''] = match ?? [];
    const isEnd: boolean = fence !== null && sign.startsWith(fence.sign) && info.trim() === '';
    if (isEnd || (match && !fence)) {
      end();
      fence = isEnd ? null : { sign, language: info.trim().split(/\s/)[0] ?? '' };
    } else {
      lines.push(line);
    }
  }
  end();
  return found;
}

/** Whether the parser can take a text without keeping the page waiting. */
export function isParseable(text: string): boolean {
  if (text.length > MOST_LENGTH) return false;
  const prose = pieces(text).filter((piece) => !piece.code);
  return prose.reduce((signs, { text }) => signs + (text.match(SIGNS)?.length ?? 0), 0) <= MOST_SIGNS;
}

/** A text as HTML without a parser: escaped, with code blocks and links, for the sanitiser to look at. */
export function plain(text: string, escape: (text: string) => string, codeBlock: (text: string, language: string) => string): string {
  return pieces(text)
    .map((piece) => (piece.code ? codeBlock(piece.text, piece.language) : `<p class="plain">${linked(piece.text, escape)}</p>`))
    .join('');
}

function linked(text: string, escape: (text: string) => string): string {
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
