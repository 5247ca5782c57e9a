// Pictures and sounds of a call: they go on while everything else about the people changes.

import { flushSync, mount, unmount } from 'svelte';
import { expect, it, vi } from 'vitest';
import Stage from '../components/call/Stage.svelte';
import type { Attendee } from '../lib/call/client';
import { shownBy } from '../lib/call/pictures';
import { reactive } from './reactive.svelte';

const bob: Attendee = { id: 'bob', name: 'Bob', kind: 'human', isMe: false, isSpeaking: false, isMuted: false, sounds: [], camera: null, screen: null };
const track = (id: string) => Object.assign(new EventTarget(), { id }) as MediaStreamTrack;

it('shows a picture once, whoever speaks', () => {
  const shown = vi.fn();
  vi.stubGlobal('MediaStream', class {});
  vi.spyOn(HTMLMediaElement.prototype, 'play').mockResolvedValue();
  Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', { set: shown, configurable: true });
  const library = { attach: vi.fn(), detach: vi.fn() };
  const [face, slides] = [track('face'), track('slides')];
  shownBy(slides, library);
  const props = reactive<{ people: Attendee[] }>({ people: [{ ...bob, camera: face, screen: slides }] });
  const stage = mount(Stage, { target: document.body, props });
  flushSync();
  expect([shown.mock.calls.length, library.attach.mock.calls.length]).toEqual([1, 1]);
  props.people = [{ ...bob, camera: face, screen: slides, isSpeaking: true }];
  flushSync();
  expect([shown.mock.calls.length, library.attach.mock.calls.length, library.detach.mock.calls.length]).toEqual([1, 1, 0]);
  props.people = [bob];
  flushSync();
  expect([library.detach.mock.calls.length, document.querySelectorAll('video').length]).toEqual([1, 0]);
  void unmount(stage);
  vi.unstubAllGlobals();
});
