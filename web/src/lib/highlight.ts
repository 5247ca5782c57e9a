// Colours code by class names. Loaded when the first code block is shown; each language is a file of
// its own. Tokens become spans through the document, never a string of HTML and never a style attribute.

import { codeToTokensBase, createShikiPrimitiveAsync, type LanguageInput } from '@shikijs/core';
import { createJavaScriptRegexEngine } from '@shikijs/engine-javascript';

const LONGEST = 40_000;

const languages: Record<string, () => LanguageInput> = {
  c: () => import('@shikijs/langs/c'),
  css: () => import('@shikijs/langs/css'),
  diff: () => import('@shikijs/langs/diff'),
  docker: () => import('@shikijs/langs/docker'),
  go: () => import('@shikijs/langs/go'),
  html: () => import('@shikijs/langs/html'),
  http: () => import('@shikijs/langs/http'),
  ini: () => import('@shikijs/langs/ini'),
  java: () => import('@shikijs/langs/java'),
  javascript: () => import('@shikijs/langs/javascript'),
  json: () => import('@shikijs/langs/json'),
  kotlin: () => import('@shikijs/langs/kotlin'),
  lua: () => import('@shikijs/langs/lua'),
  make: () => import('@shikijs/langs/make'),
  markdown: () => import('@shikijs/langs/markdown'),
  python: () => import('@shikijs/langs/python'),
  rust: () => import('@shikijs/langs/rust'),
  shellscript: () => import('@shikijs/langs/shellscript'),
  sql: () => import('@shikijs/langs/sql'),
  svelte: () => import('@shikijs/langs/svelte'),
  swift: () => import('@shikijs/langs/swift'),
  toml: () => import('@shikijs/langs/toml'),
  tsx: () => import('@shikijs/langs/tsx'),
  typescript: () => import('@shikijs/langs/typescript'),
  xml: () => import('@shikijs/langs/xml'),
  yaml: () => import('@shikijs/langs/yaml'),
};

const aliases: Record<string, string> = {
  bash: 'shellscript', cjs: 'javascript', console: 'shellscript', dockerfile: 'docker', golang: 'go', h: 'c', htm: 'html', js: 'javascript',
  json5: 'json', jsonc: 'json', jsx: 'tsx', kt: 'kotlin', makefile: 'make', md: 'markdown', mjs: 'javascript',
  patch: 'diff', py: 'python', rs: 'rust', sh: 'shellscript', shell: 'shellscript', svg: 'xml',
  ts: 'typescript', yml: 'yaml', zsh: 'shellscript',
};

// The theme's colours are only numbers of classes: the style sheet holds the real ones.
const kinds: [name: string, scopes: string[]][] = [
  ['comment', ['comment', 'punctuation.definition.comment', 'string.quoted.docstring']],
  ['string', ['string', 'string.regexp', 'constant.character.escape', 'markup.inline.raw']],
  ['number', ['constant.numeric', 'constant.language', 'constant.other', 'support.constant', 'variable.language']],
  ['keyword', ['keyword', 'storage', 'keyword.control', 'entity.name.tag', 'support.type.property-name.json']],
  ['operator', ['keyword.operator', 'punctuation']],
  ['function', ['entity.name.function', 'support.function', 'meta.function-call entity.name', 'markup.heading']],
  ['type', ['entity.name.type', 'entity.name.class', 'support.type', 'support.class', 'entity.other.attribute-name']],
  ['added', ['markup.inserted']],
  ['removed', ['markup.deleted']],
];

const colour = (index: number) => `#0000${(index + 1).toString(16).padStart(2, '0')}`.toUpperCase();
const names = new Map(kinds.map(([name], index) => [colour(index), `tok-${name}`]));
const theme = {
  name: 'classes',
  type: 'light' as const,
  fg: '#000000',
  bg: '#FFFFFF',
  settings: kinds.map(([, scope], index) => ({ scope, settings: { foreground: colour(index) } })),
};

const shiki = createShikiPrimitiveAsync({ themes: [theme], langs: [], engine: createJavaScriptRegexEngine({ forgiving: true }) });

/** Colours a `code` element in place; one of an unknown language or of great length stays as it is. */
export async function highlight(code: HTMLElement, language: string): Promise<void> {
  const name = aliases[language] ?? language;
  const load = languages[name];
  const text = code.textContent ?? '';
  if (!load || text.length > LONGEST) return;
  const primitive = await shiki;
  if (!primitive.getLoadedLanguages().includes(name)) await primitive.loadLanguage(load());
  const fragment = document.createDocumentFragment();
  for (const [index, line] of codeToTokensBase(primitive, text, { lang: name, theme: 'classes' }).entries()) {
    if (index > 0) fragment.append('\n');
    for (const token of line) {
      const kind = names.get((token.color ?? '').toUpperCase());
      if (!kind) {
        fragment.append(token.content);
        continue;
      }
      const span = document.createElement('span');
      span.className = kind;
      span.textContent = token.content;
      fragment.append(span);
    }
  }
  code.replaceChildren(fragment);
}
