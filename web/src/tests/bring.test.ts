// The lines that bring an agent: whatever its name is, they are one invite and nothing else.

import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { quoted, ways, type Bringing } from '../lib/bring';

const bringing: Bringing = { url: 'https://meet.example.org/#invite=a_b-c', token: 'a_b-c', room: '0190', name: 'scout' };
const line = (id: string, more: Partial<Bringing> = {}) => ways({ ...bringing, ...more }).find((way) => way.id === id)!.text;

describe('the lines', () => {
  it('are what the programs take', () => {
    const join = `meet-ai join 'https://meet.example.org/#invite=a_b-c' --name scout`;
    expect(line('claude')).toBe(`${join} && claude mcp add meet-ai -- meet-ai mcp`);
    expect(line('codex')).toBe(`${join} && codex mcp add meet-ai -- meet-ai mcp`);
    expect(line('shell')).toBe(`${join} && meet-ai listen 0190 --for scout`);
    expect(JSON.parse(line('mcp')).mcpServers['meet-ai'].args).toEqual(['mcp']);
  });

  it('carry no key', () => {
    for (const { first, text, other } of ways(bringing)) expect([first, text, other?.first, other?.text].join()).not.toMatch(/mai_/);
  });

  it('keep a name in its place in a shell, whatever it is made of', () => {
    const words = { scout: 'scout', '李 明': "'李 明'", '$(reboot)': "'$(reboot)'", 'a && b; c': "'a && b; c'", "`x` '\"\\": "'`x` '\\''\"\\'", '': "''" };
    for (const [word, safe] of Object.entries(words)) expect(quoted(word)).toBe(safe);
    expect(line('shell', { name: "it's" })).toContain(`--name 'it'\\''s' && `);
    expect(line('shell', { name: '--help' })).toContain(`--name=--help && `);
  });

  it('run nothing without a token, where curl asks for it', () => {
    const others = ways(bringing).flatMap(({ other }) => other ?? []);
    expect(others.map(({ first, text }) => [first ?? '', /; case \$MEET_AI_KEY in mas_\*\) export MEET_AI_KEY && .* ;; \*\)/.test(text)])).toEqual([
      ['', true],
      ['', true],
      ['', true],
      [expect.stringMatching(/^curl -sS https:\/\/meet\.example\.org\/api\/session /), false],
    ]);
  });

  it('are short programs', () => {
    for (const id of ['python', 'typescript']) expect(line(id).split('\n').length).toBeLessThanOrEqual(40);
  });

  it('are TypeScript where they say so', () => {
    const made = ts.transpileModule(line('typescript', { name: "it's `${1}`" }), { reportDiagnostics: true });
    expect(made.diagnostics).toEqual([]);
  });

  it('keep a name in its place in a program', () => {
    const name = 'a"; import os #\\ \u2028';
    const [python] = /NAME = .*?, .*?, (".*")$/m.exec(line('python', { name }))!.slice(1);
    expect(JSON.parse(python!)).toBe(name);
    const [typescript] = /name\] = \[.*?, .*?, (".*")\];$/m.exec(line('typescript', { name }))!.slice(1);
    expect(JSON.parse(typescript!)).toBe(name);
  });
});
