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
    for (const way of ways(bringing)) expect(way.text + (way.other?.text ?? '')).not.toMatch(/mai_/);
  });

  it('keep a name in its place in a shell, whatever it is made of', () => {
    const words = { scout: 'scout', '李 明': "'李 明'", '$(reboot)': "'$(reboot)'", 'a && b; c': "'a && b; c'", "`x` '\"\\": "'`x` '\\''\"\\'", '': "''" };
    for (const [word, safe] of Object.entries(words)) expect(quoted(word)).toBe(safe);
    expect(line('shell', { name: "it's" })).toContain(`--name 'it'\\''s' && `);
    expect(line('shell', { name: '--help' })).toContain(`--name=--help && `);
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
