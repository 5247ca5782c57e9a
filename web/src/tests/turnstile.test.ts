// The check for bots in front of a call: what it says when it cannot be had.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

type Script = HTMLScriptElement & { onload: () => void; onerror: () => void };

let problems: [string, boolean | undefined][];
let showWidget: (typeof import('../lib/turnstile'))['showWidget'];
const createPolicy = vi.fn(() => ({ createScriptURL: () => 'https://challenges.example.org/api.js' }));

const show = () =>
  showWidget(document.createElement('div'), 'key', 'auto', { ontoken: () => undefined, onproblem: (text, isOver) => problems.push([text, isOver]) });
const script = () => [...document.head.querySelectorAll('script')].at(-1) as unknown as Script;

beforeEach(async () => {
  vi.resetModules();
  problems = [];
  createPolicy.mockClear();
  vi.stubGlobal('trustedTypes', { createPolicy });
  ({ showWidget } = await import('../lib/turnstile'));
});

afterEach(() => {
  document.head.replaceChildren();
  vi.unstubAllGlobals();
});

describe('the check for bots', () => {
  it('is loaded anew after a failure, by a policy that is made once', async () => {
    const failed = show();
    script().onerror();
    await expect(failed).resolves.toBeNull();
    expect(problems).toEqual([[expect.stringContaining('could not be loaded'), true]]);
    const again = show();
    vi.stubGlobal('turnstile', { render: () => 'widget', reset: () => undefined, remove: () => undefined });
    script().onload();
    await expect(again).resolves.not.toBeNull();
    expect(createPolicy).toHaveBeenCalledTimes(1);
  });

  it('says so when it cannot be shown, or not in this browser', async () => {
    let options: Record<string, () => void> = {};
    vi.stubGlobal('turnstile', { render: (_place: object, given: typeof options) => void (options = given) });
    const shown = show();
    script().onload();
    await expect(shown).resolves.toBeNull();
    options['unsupported-callback']!();
    expect(problems).toEqual([[expect.stringContaining('could not be shown'), true], [expect.stringContaining('this browser'), true]]);
  });
});
