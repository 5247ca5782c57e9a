// Following the end, and the part of a long list that stands in the document.

import { describe, expect, it } from 'vitest';
import { around, atEnd, extendDown, extendUp, grow, isShort, newest, type Loaded, type View } from '../lib/scroll';

const size = (view: View, loaded: Loaded) => (view.last ?? loaded.to) - view.first + 1;

describe('the end', () => {
  it('is where the reader is within a few lines of it', () => {
    expect(atEnd({ top: 940, height: 1500, viewport: 500 })).toBe(true);
    expect(atEnd({ top: 800, height: 1500, viewport: 500 })).toBe(false);
    expect(atEnd({ top: 0, height: 300, viewport: 500 })).toBe(true);
  });
});

describe('a history', () => {
  it('is short when it is more than one screen, and not many', () => {
    expect(isShort({ top: 0, height: 500, viewport: 500 })).toBe(false);
    expect(isShort({ top: 0, height: 900, viewport: 500 })).toBe(true);
    expect(isShort({ top: 0, height: 5000, viewport: 500 })).toBe(false);
  });
});

describe('the rendered part', () => {
  it('stays small while ten thousand messages come to a reader at the end', () => {
    let view = newest({ from: 1, to: 0 });
    for (let to = 1; to <= 10_000; to++) {
      view = grow(view, { from: 1, to }, true);
      expect(size(view, { from: 1, to })).toBeLessThanOrEqual(320);
      expect(view.last).toBeNull();
    }
  });

  it('keeps its first message for a reader further up, and lets go of the end when too much comes', () => {
    let view = newest({ from: 1, to: 1000 });
    const { first } = view;
    expect(grow(view, { from: 1, to: 1001 }, false)).toEqual(view);
    for (let to = 1001; to <= 3000; to++) view = grow(view, { from: 1, to }, false);
    expect(view.first).toBe(first);
    expect(view.last).toBe(first + 319);
  });

  it('reaches both ends of a long history step by step, and never grows beyond its cap', () => {
    const loaded = { from: 1, to: 5000 };
    let view = newest(loaded);
    for (let step = 0; step < 100; step++) {
      view = extendUp(view, loaded);
      expect(size(view, loaded)).toBeLessThanOrEqual(320);
    }
    expect(view.first).toBe(1);
    expect(view.last).not.toBeNull();
    for (let step = 0; step < 100; step++) {
      view = extendDown(view, loaded);
      expect(size(view, loaded)).toBeLessThanOrEqual(320);
    }
    expect(view.last).toBeNull();
  });

  it('overlaps with what was shown before, so that nothing jumps', () => {
    const loaded = { from: 1, to: 5000 };
    const before = { first: 2000, last: 2319 };
    expect(extendUp(before, loaded)).toEqual({ first: 1920, last: 2239 });
    expect(extendDown(before, loaded)).toEqual({ first: 2080, last: 2399 });
  });

  it('starts anew when the messages did', () => {
    expect(grow({ first: 900, last: null }, { from: 1, to: 10 }, true)).toEqual({ first: 1, last: null });
    expect(grow({ first: 5, last: 40 }, { from: 100, to: 200 }, true)).toEqual({ first: 100, last: null });
  });

  it('can stand around one message', () => {
    expect(around(500, { from: 1, to: 1000 })).toEqual({ first: 440, last: 560 });
    expect(around(990, { from: 1, to: 1000 })).toEqual({ first: 930, last: null });
    expect(around(3, { from: 1, to: 1000 }).first).toBe(1);
  });
});
