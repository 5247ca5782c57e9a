// Turns the text of a message into a safe piece of document: markdown, then the sanitiser last, which
// answers with nodes and not with a string, so nothing is ever parsed again behind it. What is added
// afterwards (mentions, code blocks) is made from text nodes and fixed class names only.
//
// No HTML of the author survives: it is shown as the text that it is. Images become links.

import DOMPurify, { type Config } from 'dompurify';
import { Lexer, Marked, type Token } from 'marked';
import { findMentions, fold } from './mentions';
import { blocks, isTangled, linked, parseable } from './plain';

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character]!);
}

function codeBlock(text: string, info: string): string {
  const language = /^[\w+#.-]{1,24}/.exec(info)?.[0].toLowerCase();
  const name = language ? ` class="language-${escapeHtml(language)}"` : '';
  return `<pre><code${name}>${escapeHtml(text)}\n</code></pre>`;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    heading({ tokens, depth }) {
      return `<h3 class="md-h${depth}">${this.parser.parseInline(tokens)}</h3>`;
    },
    listitem(item) {
      return `<li${item.task ? ' class="task"' : ''}>${this.parser.parse(item.tokens)}</li>\n`;
    },
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
    code: ({ text, lang }) => codeBlock(text, lang ?? ''),
  },
});

/** The most signs that addresses given once may come to, wherever they are meant. */
const MOST_REPEATED = 262_144;

const config: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    'a', 'b', 'blockquote', 'br', 'code', 'del', 'em', 'h3', 'hr', 'i', 'li', 'ol', 'p', 'pre', 's', 'strong',
    'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul', '#text',
  ],
  ALLOWED_ATTR: ['href', 'title', 'class', 'start', 'align'],
  // These two hold no address, so the rule for addresses is not theirs.
  ADD_URI_SAFE_ATTR: ['align', 'start'],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ALLOWED_NAMESPACES: ['http://www.w3.org/1999/xhtml'],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ALLOW_UNKNOWN_PROTOCOLS: false,
  KEEP_CONTENT: true,
  RETURN_DOM_FRAGMENT: true,
};

const CLASS = /^(?:language-[\w+#.-]{1,24}|md-h[1-6]|plain|task)$/;

const purifier = DOMPurify();
purifier.addHook('afterSanitizeAttributes', (node) => {
  const name = node.getAttribute('class');
  if (name !== null && !CLASS.test(name)) node.removeAttribute('class');
  if (node.nodeName !== 'A') return;
  if (!node.hasAttribute('href')) return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer nofollow');
});

/** The sanitiser by itself: whatever HTML comes in, only what a message may hold comes out. */
export function sanitize(html: string): DocumentFragment {
  return purifier.sanitize(html, config);
}

/** A message's text as nodes; as plain text where it is beyond what the parser can take. */
export function render(text: string): DocumentFragment {
  try {
    return sanitize(toHtml(text.replace(/\r\n?/g, '\n')));
  } catch {
    // Nested too deep: plain it is.
    return sanitize(plain(text));
  }
}

/** A message as it is shown, with mentions and frames; whatever goes wrong with it, its text is there. */
export function compose(text: string, names: readonly string[], me: string | null): DocumentFragment {
  try {
    const fragment = render(text);
    if (names.length > 0) markMentions(fragment, names, me);
    frameBlocks(fragment);
    return fragment;
  } catch {
    const fragment = document.createDocumentFragment();
    const paragraph = document.createElement('p');
    paragraph.className = 'plain';
    paragraph.textContent = text;
    fragment.append(paragraph);
    return fragment;
  }
}

function plain(text: string): string {
  return `<p class="plain">${linked(text, escapeHtml)}</p>`;
}

/** A message as HTML that the sanitiser has yet to look at. */
export function toHtml(text: string): string {
  const lexer = new Lexer(marked.defaults);
  const parts = blocks(text).map((block): string | Token[] => {
    if (block.code) return codeBlock(block.text, block.language);
    return isTangled(block.text) ? plain(block.text) : lexer.blockTokens(block.text, []);
  });
  forgetLongLinks(lexer.tokens.links, text);
  const may = parseable(lexer.inlineQueue.map(({ src }) => src));
  for (const [index, { src, tokens }] of lexer.inlineQueue.entries()) {
    lexer.state.inRawBlock = false;
    if (may[index]) lexer.inlineTokens(src, tokens);
    else tokens.push({ type: 'text', raw: src, text: linked(src, escapeHtml).replaceAll('\n', '<br>'), escaped: true });
  }
  return parts.map((part) => (typeof part === 'string' ? part : marked.parser(part))).join('');
}

/** Addresses that are given once and meant often must not make a short text a long document. */
function forgetLongLinks(links: Lexer['tokens']['links'], text: string): void {
  const most = MOST_REPEATED / text.split('[').length;
  for (const [label, { href, title }] of Object.entries(links)) {
    if (href.length + (title?.length ?? 0) > most) delete links[label];
  }
}

/** Marks the mentions of known names outside code and links; the reader's own one more strongly. */
export function markMentions(root: DocumentFragment, names: readonly string[], me: string | null): void {
  const own = me === null ? null : fold(me);
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement?.closest('code, pre, a')) texts.push(node as Text);
  }
  for (const text of texts) {
    let rest = text;
    let offset = 0;
    const { data } = text;
    for (const mention of findMentions(data, names)) {
      if (mention.start < offset || mention.end > data.length) continue;
      const here = rest.splitText(mention.start - offset);
      rest = here.splitText(mention.end - mention.start);
      offset = mention.end;
      const mark = document.createElement('span');
      mark.className = fold(mention.name) === own ? 'mention mention-me' : 'mention';
      here.replaceWith(mark);
      mark.append(here);
    }
  }
}

/** Gives every code block its bar with the language and a copy button, and makes tables scroll and read well. */
export function frameBlocks(root: DocumentFragment): void {
  for (const pre of root.querySelectorAll('pre')) {
    const frame = document.createElement('div');
    frame.className = 'code-frame';
    const bar = document.createElement('div');
    bar.className = 'code-bar';
    const language = document.createElement('span');
    language.textContent = languageOf(pre) ?? 'text';
    const copy = document.createElement('button');
    copy.type = 'button';
    copy.className = 'code-copy';
    copy.textContent = 'Copy';
    copy.setAttribute('aria-label', 'Copy code');
    bar.append(language, copy);
    pre.replaceWith(frame);
    frame.append(bar, pre);
  }
  for (const header of root.querySelectorAll('th')) {
    // An empty corner heads nothing.
    if (header.textContent?.trim() === '') header.replaceWith(document.createElement('td'));
  }
  for (const table of root.querySelectorAll('table')) {
    const frame = document.createElement('div');
    frame.className = 'table-frame';
    table.replaceWith(frame);
    frame.append(table);
  }
}

/** The language that a code block names. */
export function languageOf(pre: Element): string | null {
  const name = pre.querySelector('code')?.className ?? '';
  return name.startsWith('language-') ? name.slice('language-'.length) : null;
}
