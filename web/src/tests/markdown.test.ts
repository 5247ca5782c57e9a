// Messages are safe whatever they say: a corpus of hostile texts goes through the whole way of a
// message, and through the sanitiser alone.

import { describe, expect, it } from 'vitest';
import { compose, frameBlocks, markMentions, render, sanitize } from '../lib/markdown';
import { blocks, isTangled, parseable } from '../lib/plain';

function shown(text: string): HTMLElement {
  const root = document.createElement('div');
  const fragment = render(text);
  markMentions(fragment, ['Anna', 'Me'], 'Me');
  frameBlocks(fragment);
  root.append(fragment);
  return root;
}

function sanitized(html: string): HTMLElement {
  const root = document.createElement('div');
  root.append(sanitize(html));
  return root;
}

const payloads = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<img src="https://example.org/pixel.png">',
  '![pixel](https://example.org/pixel.png)',
  '![x](javascript:alert(1))',
  '![x](data:image/svg+xml;base64,PHN2Zz4=)',
  '[x](javascript:alert(1))',
  '[x](JaVaScRiPt:alert(1))',
  '[x](java\nscript:alert(1))',
  '[x](&#106;avascript:alert(1))',
  '[x](vbscript:msgbox(1))',
  '[x](data:text/html,<script>alert(1)</script>)',
  '[x](//example.org)',
  '<javascript:alert(1)>',
  '[x](https://example.org "onmouseover=alert(1)")',
  '[x](https://example.org/"onmouseover="alert(1))',
  '<a href="javascript:alert(1)">x</a>',
  '<a href=" &#14; javascript:alert(1)">x</a>',
  '<svg onload=alert(1)>',
  '<svg><script>alert(1)</script></svg>',
  '<svg><animate onbegin=alert(1) attributeName=x dur=1s>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  '<form action="https://example.org"><input name=password><button>go</button></form>',
  '<input autofocus onfocus=alert(1)>',
  '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
  '<object data="https://example.org"></object><embed src="https://example.org">',
  '<style>* { display: none }</style>',
  '<p style="position:fixed;inset:0">cover</p>',
  '<p id="app" name="body" class="fixed inset-0">clobber</p>',
  '<a id=attributes><a id=attributes name=x href="https://example.org">x</a>',
  '<link rel=stylesheet href="https://example.org/x.css">',
  '<meta http-equiv=refresh content="0;url=https://example.org">',
  '<base href="https://example.org">',
  '<template><img src=x onerror=alert(1)></template>',
  '<video src="https://example.org" poster="https://example.org" onerror=alert(1)></video>',
  '<audio src=x onerror=alert(1)>',
  '<details open ontoggle=alert(1)>x</details>',
  '<p data-key="message-1" aria-label="x" role="alert" tabindex=1>x</p>',
  '<div data-key="message-1" aria-label="x" tabindex=1 contenteditable>x</div>',
  '<p slot="x" is="y-z" popover>x</p><dialog open>x</dialog>',
  '```"><img src=x onerror=alert(1)>\ncode\n```',
  '```js onload=alert(1)\n</code></pre><script>alert(1)</script>\n```',
  '`<img src=x onerror=alert(1)>`',
  '| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |',
  '- [x] <img src=x onerror=alert(1)>',
  '@Anna<img src=x onerror=alert(1)> @<script>alert(1)</script>',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  '<xmp><p title="</xmp><img src=x onerror=alert(1)>">',
  '<!--><img src=x onerror=alert(1)>-->',
  '<a href="https://example.org" target="_self" rel="opener" ping="https://example.org" download>x</a>',
];

const ELEMENTS = new Set(
  'A B BLOCKQUOTE BR BUTTON CODE DEL DIV EM H3 HR I LI OL P PRE S SPAN STRONG TABLE TBODY TD TH THEAD TR UL'.split(' '),
);
const ATTRIBUTES = new Set(['href', 'title', 'class', 'start', 'align', 'target', 'rel']);
const OF_BUTTONS = new Set(['type', 'aria-label']);
const CLASSES = /^(language-[\w+#.-]+|md-h[1-6]|plain|task|mention( mention-me)?|code-frame|code-bar|code-copy|table-frame)$/;

function problems(root: HTMLElement, ours: boolean): string[] {
  const found: string[] = [];
  for (const element of root.querySelectorAll('*')) {
    if (element.namespaceURI !== 'http://www.w3.org/1999/xhtml') found.push(`namespace of ${element.nodeName}`);
    if (!ELEMENTS.has(element.nodeName)) found.push(element.nodeName);
    // The only buttons are those that copy code.
    if (element.nodeName === 'BUTTON' && (!ours || element.className !== 'code-copy')) found.push('a button');
    for (const { name, value } of element.attributes) {
      if (!ATTRIBUTES.has(name) && !(OF_BUTTONS.has(name) && element.nodeName === 'BUTTON')) found.push(`${element.nodeName} ${name}`);
      if (name === 'class' && !CLASSES.test(value)) found.push(`class ${value}`);
      if (name === 'href' && !/^(https?:\/\/|mailto:)/.test(value)) found.push(`href ${value}`);
    }
    if (element.hasAttribute('href')) {
      if (element.getAttribute('target') !== '_blank') found.push('a link in this window');
      if (!element.getAttribute('rel')?.includes('noopener')) found.push('a link with an opener');
    }
  }
  return found;
}

describe('a hostile message', () => {
  it.each(payloads)('is harmless: %s', (text) => {
    expect(problems(shown(text), true)).toEqual([]);
  });

  it.each(payloads)('is harmless after the sanitiser alone: %s', (text) => {
    expect(problems(sanitized(text), false)).toEqual([]);
  });

  it('is shown as the text that it is', () => {
    expect(shown('<img src=x onerror=alert(1)>').textContent).toContain('<img src=x onerror=alert(1)>');
    expect(shown('a <b>bold</b> claim').textContent?.trim()).toBe('a <b>bold</b> claim');
  });

  it('of the greatest length and depth is still shown', () => {
    for (const text of ['>'.repeat(32_000), '['.repeat(32_000), '*'.repeat(32_000), '- '.repeat(16_000), '`'.repeat(32_000)]) {
      expect(shown(text).textContent?.length).toBeGreaterThan(0);
    }
  });
});

describe('a message that would keep the parser busy', () => {
  const FULL = 32_768;
  const full = (unit: string) => unit.repeat(Math.floor(FULL / unit.length));
  const dense = ['~a~~ ', 'a.a.', '**a ', '_a ', '![a](', '<a ', '` ', '@a.', '[', 'a\\', ' ', 'http://a.'];
  const report = `# Report\n\n- **one**\n- \`two\`\n\n| a | b |\n|---|---|\n| 1 | *2* |\n\n`;

  it.each(dense)('has no markdown in a paragraph full of: %s', (unit) => {
    expect(parseable([`a${full(unit)}@ b`, 'a *b*'])).toEqual([false, true]);
  });

  it('has markdown in a few of many paragraphs that are dense, and in all that are not', () => {
    const may = parseable([...Array<string>(32).fill('**a '.repeat(250)), 'a *b*']);
    expect(may.at(-1)).toBe(true);
    expect(may.filter(Boolean).length).toBeLessThan(8);
  });

  it('counts neither code nor signs within words', () => {
    expect(parseable(['see `a_b[0]` and some_long_name '.repeat(100)])).toEqual([true]);
  });

  it.each([
    '>'.repeat(5),
    '- '.repeat(17) + 'a',
    `${' '.repeat(40)}- a`,
    'a\n-\n'.repeat(100),
    '> - a\nb\n'.repeat(100),
    `- a\n${'b\n'.repeat(500)}`,
    `|${'a|'.repeat(500)}\n|${'-|'.repeat(500)}\n${'|\n'.repeat(20)}`,
  ])('has no markdown in a block that is tangled: %s', (block) => {
    expect(isTangled(block)).toBe(true);
    const root = shown(`${report}${block}\n\nafter **it**`);
    expect(root.querySelectorAll('.plain')).toHaveLength(1);
    expect([...root.querySelectorAll('strong')].map((strong) => strong.textContent)).toEqual(['one', 'it']);
    expect(root.querySelectorAll('table')).toHaveLength(1);
  });

  it('is not tangled by what people and agents write', () => {
    const list = Array.from({ length: 200 }, (_, i) => `${'  '.repeat(i % 4)}- item ${i}\n`).join('');
    const table = `| a | b | c |\n|---|---|---|\n${'| one | two | three |\n'.repeat(300)}`;
    const quote = '> > said\n> answered\n> - one\n'.repeat(50);
    for (const block of [list, table, quote, '- '.repeat(40), '* * * * * * * * * * * * * * * * * * *']) {
      expect(isTangled(block)).toBe(false);
    }
  });

  it('keeps the markdown of everything but the paragraph that is too dense', () => {
    const section = `${report}1. first\n\n   more of it\n\n2. second\n\n\`\`\`js\nlet a = "**";\n\n# none\n\`\`\`\n\nsee [it][x] and **that**\n\n`;
    const hostile = '~a~~ '.repeat(2000);
    const root = shown(`${section.repeat(50)}${hostile}\nsee https://example.org/a?b=1&c=2. <b>x</b> @Anna\n\n${section.repeat(50)}[x]: https://example.org/x`);
    expect(problems(root, true)).toEqual([]);
    expect(root.querySelector('del')).toBeNull();
    expect(root.querySelector('.plain')).toBeNull();
    for (const [selector, count] of Object.entries({ h3: 100, table: 100, ol: 100, 'ol > li': 200, pre: 100, 'td em': 100, 'p > strong': 100 })) {
      expect([selector, root.querySelectorAll(selector).length]).toEqual([selector, count]);
    }
    expect(root.querySelectorAll('a[href="https://example.org/x"]')).toHaveLength(100);
    const link = [...root.querySelectorAll('a')].find(({ textContent }) => textContent === 'https://example.org/a?b=1&c=2');
    expect([link?.getAttribute('href'), link?.rel]).toEqual(['https://example.org/a?b=1&c=2', 'noopener noreferrer nofollow']);
    expect(root.querySelector('.mention')?.textContent).toBe('@Anna');
    expect([...root.querySelectorAll('p')].some(({ textContent }) => textContent?.startsWith(hostile.trimEnd()))).toBe(true);
    expect(root.querySelector('code.language-js')?.textContent).toBe('let a = "**";\n\n# none\n');
  });

  it('is cut outside lists, indented code and fences, and nothing of it is lost', () => {
    const parts = ['a\nb', '    x\n\n    y', '- a\n\n  b\n\n- c', 'end'];
    const text = `${parts.join('\n\n')}\n\`\`\`js\n${'z\n\n'.repeat(4000)}\`\`\`\nlast`;
    expect(blocks(text).map((block) => block.text)).toEqual([...parts, 'z\n\n'.repeat(4000).slice(0, -1), 'last']);
    expect(blocks(text).map((block) => block.code)).toEqual([false, false, false, false, true, false]);
  });

  it('does not grow by an address that is given once and meant often', () => {
    const root = shown(`[a]: https://example.org/${'a'.repeat(8000)}\n\n${'[a] '.repeat(4000)}`);
    expect(root.querySelectorAll('a')).toHaveLength(0);
  });

  it.each(payloads)('is harmless: %s', (text) => {
    expect(problems(shown(`${text}\n${full('~a~~ ').slice(0, 9000)}`), true)).toEqual([]);
    expect(problems(shown(`${text}\n${'a\n-\n'.repeat(100)}`), true)).toEqual([]);
  });
});

describe('a message', () => {
  it('has links instead of images', () => {
    const link = shown('![a chart](https://example.org/chart.png)').querySelector('a');
    expect(link?.textContent).toBe('a chart');
    expect(link?.getAttribute('href')).toBe('https://example.org/chart.png');
    expect(link?.rel).toContain('noopener');
  });

  it('keeps line breaks, lists, tables and their alignment', () => {
    expect(shown('one\ntwo').querySelectorAll('br')).toHaveLength(1);
    expect(shown('3. three\n4. four').querySelector('ol')?.getAttribute('start')).toBe('3');
    expect(shown('| | b |\n|---|---:|\n| 1 | 2 |').querySelector('tbody td:last-child')?.getAttribute('align')).toBe('right');
    expect(shown('| | b |\n|---|---:|\n| 1 | 2 |').querySelectorAll('th')).toHaveLength(1);
    expect(shown('- [x] done\n- [ ] open').textContent).toMatch(/☑ done\s+☐ open/);
    expect(shown('- [x] done\n- [ ] open\n- other').querySelectorAll('li.task')).toHaveLength(2);
  });

  it('has headings of one level that look like six', () => {
    expect(shown('# big').querySelector('h3')?.className).toBe('md-h1');
    expect(shown('###### small').querySelector('h3')?.className).toBe('md-h6');
  });

  it('has a frame with the language and a copy button around code', () => {
    const root = shown('```rust\nlet a = "<b>";\n```');
    expect(root.querySelector('.code-bar span')?.textContent).toBe('rust');
    expect(root.querySelector('.code-copy')?.textContent).toBe('Copy');
    expect(root.querySelector('code')?.textContent).toBe('let a = "<b>";\n');
  });

  it('marks mentions outside code and links, the own one more strongly', () => {
    const root = shown('@anna and @Me but not `@Anna` nor [@Anna](https://example.org)');
    expect([...root.querySelectorAll('.mention')].map((mark) => [mark.textContent, mark.className])).toEqual([
      ['@anna', 'mention'],
      ['@Me', 'mention mention-me'],
    ]);
    expect(root.textContent).toContain('@anna and @Me but not @Anna nor @Anna');
  });

  it('ends with a mention of a short name where a longer one is known', () => {
    const root = document.createElement('div');
    root.append(compose('hi **@scout**', ['deploy-bot', 'scout'], null));
    expect(root.querySelector('.mention')?.textContent).toBe('@scout');
    expect(root.textContent?.trim()).toBe('hi @scout');
  });
});
