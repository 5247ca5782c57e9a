// Messages are safe whatever they say: a corpus of hostile texts goes through the whole way of a
// message, and through the sanitiser alone.

import { describe, expect, it } from 'vitest';
import { frameBlocks, markMentions, render, sanitize } from '../lib/markdown';
import { isParseable } from '../lib/plain';

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
const CLASSES = /^(language-[\w+#.-]+|md-h[1-6]|plain|mention( mention-me)?|code-frame|code-bar|code-copy|table-frame)$/;

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
  const busy = ['~a~~ ', 'a.a.', '*a ', '_a_', '![a](', '<a ', '`a', '@a.', '[', 'a\\', '> ', '- '];
  const full = (unit: string) => unit.repeat(Math.floor(FULL / unit.length));

  it.each([...busy, ' '])('is never parsed at full length: %s', (unit) => {
    expect(isParseable(`a${full(unit)}@ b`)).toBe(false);
  });

  it('is not parsed either when it is short and dense', () => {
    expect(isParseable('~a~~ '.repeat(400))).toBe(false);
    expect(isParseable(`\`\`\`js\n${'a[b] * c[d];\n'.repeat(300)}\`\`\`\nThat is *all* of it.`)).toBe(true);
  });

  it('is shown whole, as plain text with safe links, code and mentions', () => {
    const text = `${full('~a~~ ').slice(0, 9000)}\nsee https://example.org/a?b=1&c=2. <b>x</b> @Anna\n\n\`\`\`js\nlet a = "<b>";\n\`\`\`\nend`;
    const root = shown(text);
    expect(problems(root, true)).toEqual([]);
    expect(root.querySelector('del')).toBeNull();
    expect(root.querySelector('.plain')?.textContent).toBe(text.split('\n\n')[0]);
    expect(root.querySelector('a')?.getAttribute('href')).toBe('https://example.org/a?b=1&c=2');
    expect(root.querySelector('a')?.rel).toContain('noopener');
    expect(root.querySelector('code')?.textContent).toBe('let a = "<b>";\n');
    expect(root.querySelector('.mention')?.textContent).toBe('@Anna');
    expect(root.querySelector('p:last-child')?.textContent).toBe('end');
  });

  it.each(payloads)('is harmless: %s', (text) => {
    expect(problems(shown(`${text}\n${full('~a~~ ').slice(0, 9000)}`), true)).toEqual([]);
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
});
