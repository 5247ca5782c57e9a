// When the list of messages follows its end, and which part of a long list stands in the document.
// Sequence numbers have no gaps, so a part is told by its first and last number alone.

/** What a scrolling element says of itself. */
export interface Metrics {
  top: number;
  height: number;
  viewport: number;
}

/** Within this many pixels of the end, the reader is at the end. */
export const NEAR_END = 64;
/** Within this many pixels of either edge of what is rendered, more is rendered. */
export const NEAR_EDGE = 800;

const START = 120;
const STEP = 80;
const MOST = 320;

export function atEnd(m: Metrics): boolean {
  return m.height - m.viewport - m.top <= NEAR_END;
}

export function nearStart(m: Metrics): boolean {
  return m.top <= NEAR_EDGE;
}

export function nearEnd(m: Metrics): boolean {
  return m.height - m.viewport - m.top <= NEAR_EDGE;
}

/** The most viewports that a short history fills. */
const SHORT = 3;

/** Whether a history that is all there is read from its beginning, by whom was never in the room. */
export function isShort(m: Metrics): boolean {
  return m.height - m.viewport > NEAR_END && m.height <= SHORT * m.viewport;
}

/** The rendered part; `last: null` follows the newest message. */
export interface View {
  first: number;
  last: number | null;
}

/** The loaded messages: the numbers of the oldest and the newest one. `to < from` when there are none. */
export interface Loaded {
  from: number;
  to: number;
}

/** The newest messages, as when a room opens or the reader goes to the end. */
export function newest(loaded: Loaded): View {
  return { first: Math.max(loaded.from, loaded.to - START + 1), last: null };
}

/** After messages came: follows at the end, and lets go of following when too much piles up below the reader. */
export function grow(view: View, loaded: Loaded, following: boolean): View {
  const count = loaded.to - view.first + 1;
  if (view.first < loaded.from || view.first > loaded.to + 1) return newest(loaded);
  if (view.last !== null || count <= MOST) return view;
  return following ? newest(loaded) : { first: view.first, last: view.first + MOST - 1 };
}

/** Renders more at the top and as much less at the bottom as the cap asks for. */
export function extendUp(view: View, loaded: Loaded): View {
  const first = Math.max(loaded.from, view.first - STEP);
  const last = view.last ?? loaded.to;
  return last - first + 1 > MOST ? { first, last: first + MOST - 1 } : { ...view, first };
}

/** Renders more at the bottom and as much less at the top as the cap asks for. */
export function extendDown(view: View, loaded: Loaded): View {
  if (view.last === null) return view;
  const last = view.last + STEP;
  if (last >= loaded.to) return { first: Math.max(view.first, loaded.to - MOST + 1), last: null };
  return { first: Math.max(view.first, last - MOST + 1), last };
}

/** The part around one message, as when a quotation is followed. */
export function around(seq: number, loaded: Loaded): View {
  const first = Math.max(loaded.from, seq - START / 2);
  const last = seq + START / 2;
  return { first, last: last >= loaded.to ? null : last };
}
