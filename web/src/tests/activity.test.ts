// What those in a room tell of what they do: one line each, gone when it speaks or time has passed.

import { describe, expect, it } from 'vitest';
import { heard, lasting, spoken, waiting, type Line } from '../lib/activity';
import type { PresenceMember } from '../lib/types';

const tells = (user: string, text: string) => ({ type: 'log', user, name: user, kind: 'agent', text }) as const;
const texts = (lines: readonly Line[]) => lines.map((line) => line.text);

describe('the lines of a room', () => {
  it('are one of each, the newest first', () => {
    let lines = heard([], tells('scout', 'one'), 0);
    lines = heard(lines, tells('fixer', 'two'), 1);
    lines = heard(lines, tells('scout', 'three'), 2);
    expect(texts(lines)).toEqual(['three', 'two']);
  });

  it('go when their author speaks, or after half a minute', () => {
    const lines = heard(heard([], tells('scout', 'one'), 0), tells('fixer', 'two'), 20_000);
    expect(texts(spoken(lines, ['fixer']))).toEqual(['one']);
    expect(spoken(lines, ['somebody'])).toBe(lines);
    expect(lasting(lines, 29_999)).toBe(lines);
    expect(texts(lasting(lines, 30_000))).toEqual(['two']);
  });

  it('are bounded, however many tell something', () => {
    let lines: readonly Line[] = [];
    for (let number = 0; number < 100; number++) lines = heard(lines, tells(`agent ${number}`, 'busy'), number);
    expect(lines).toHaveLength(20);
  });
});

it('those who wait on a person are known by what they say of themselves', () => {
  const member: PresenceMember = { user: 'bot', name: 'bot', kind: 'agent', status: 'online', since: '2026-02-07T11:00:00.000Z' };
  const members = [member, { ...member, user: 'a', about: { doing: 'working' as const } }, { ...member, user: 'b', about: { doing: 'waiting' as const } }];
  expect(waiting(members).map((one) => one.user)).toEqual(['b']);
});
