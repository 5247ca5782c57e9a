// Mentions: whom a text calls by name.

import { describe, expect, it } from 'vitest';
import { complete, findMentions, mentionAt, mentions } from '../lib/mentions';

const found = (text: string, ...names: string[]) => findMentions(text, names).map((mention) => text.slice(mention.start, mention.end));

describe('mentions', () => {
  it('stand at word boundaries, in any case, the longest name first', () => {
    expect(found('@anna and @Anna Lee, not @annabel', 'Anna', 'Anna Lee')).toEqual(['@anna', '@Anna Lee']);
    expect(found('mail me@anna.org', 'anna')).toEqual([]);
    expect(found('(@anna): @@anna', 'anna')).toEqual(['@anna', '@anna']);
    expect(found('@zoë!', 'Zoë')).toEqual(['@zoë']);
    expect(found('@calm-otter-2', 'calm-otter')).toEqual(['@calm-otter']);
    expect(found('@', '', 'x')).toEqual([]);
  });

  it('of a longer name are not those of a shorter one', () => {
    expect(mentions('@Anna Lee?', 'Anna', ['Anna Lee'])).toBe(false);
    expect(mentions('@anna?', 'Anna', ['Anna Lee'])).toBe(true);
  });

  it('are completed while they are written', () => {
    expect(mentionAt('hi @an', 6)).toEqual({ start: 3, query: 'an' });
    expect(mentionAt('hi @', 4)).toEqual({ start: 3, query: '' });
    expect(mentionAt('me@an', 5)).toBeNull();
    expect(mentionAt('@an ', 4)).toBeNull();
    expect(mentionAt('nothing', 3)).toBeNull();
    expect(complete('ot', ['calm-otter', 'Otto', 'Anna'], 5)).toEqual(['Otto', 'calm-otter']);
  });
});
