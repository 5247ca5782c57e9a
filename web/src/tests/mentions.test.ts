// Mentions: whom a text calls by name.

import { describe, expect, it } from 'vitest';
import { complete, findMentions, fold, mentionAt, mentions } from '../lib/mentions';

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

  it('fold as the server folds', () => {
    expect(fold('STRASSE')).toBe(fold('straße'));
    expect(fold('STRAẞE')).toBe(fold('strasse'));
    expect(fold('Zoë')).toBe(fold('ZOE\u0308'));
    expect(fold('ΟΔΥΣΣΕΥΣ')).toBe(fold('οδυσσευς'));
    expect(fold('ı')).not.toBe(fold('i'));
    expect(fold('Anna')).not.toBe(fold('Anne'));
  });

  it('are marked where they stand, however long their folded form is', () => {
    expect(found('ẞß @STRASSE @straße, @ZOE\u0308?', 'Straße', 'Zoë')).toEqual(['@STRASSE', '@straße', '@ZOE\u0308']);
    expect(found('𝒜@anna 😀@anna', 'anna')).toEqual(['@anna']);
    expect(found('@anna① @anna', 'anna')).toEqual(['@anna']);
    expect(findMentions('ﬀ @straße!', ['STRASSE'])).toEqual([{ start: 2, end: 9, name: 'STRASSE' }]);
  });

  it('are looked for among so many names and at so many places, and no more', () => {
    const names = Array.from({ length: 1200 }, (_, index) => `agent-${index}`);
    expect(found('@agent-999 @agent-1000', ...names)).toEqual(['@agent-999']);
    expect(found('@anna '.repeat(5000), 'anna')).toHaveLength(200);
  });

  it('at the end of a text are found beside longer names', () => {
    expect(findMentions('hi @scout', ['deploy-bot', 'scout'])).toEqual([{ start: 3, end: 9, name: 'scout' }]);
    expect(found('@anna', 'Anna Lee', 'Anna Lee Smith', 'Anna')).toEqual(['@anna']);
    expect(found('@stra\u00dfe', 'a much longer name', 'STRASSE')).toEqual(['@stra\u00dfe']);
  });

  it('lie within the text, one after the other', () => {
    const pieces = ['@', 'scout', 'Zoe\u0308', 'zo\u00eb', 'STRASSE', 'stra\u00dfe', ' ', '\ufb00', '\u0308', '\u1112\u1161', '\u0131', '\ud83d\ude00', '\ud800', '-bot'];
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const make = (most: number) => Array.from({ length: random(most) + 1 }, () => pieces[random(pieces.length)]).join('');
    let total = 0;
    for (let round = 0; round < 3000; round++) {
      const names = Array.from({ length: 6 }, () => make(3));
      const text = make(10) + (round % 2 ? `@${names[0]}` : '');
      let before = 0;
      for (const { start, end, name } of findMentions(text, names)) {
        expect(start >= before && end > start && end <= text.length, JSON.stringify([text, names])).toBe(true);
        expect(text[start]).toBe('@');
        expect(names).toContain(name);
        before = end;
        total += 1;
      }
    }
    expect(total).toBeGreaterThan(500);
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
