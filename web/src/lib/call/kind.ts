// What a server's conferences are like, as far as it concerns whoever might join; loads nothing of them.

import type { ConferenceConfig, Media } from '../types';
import type { Source } from './client';

/** Where calls are that carry nothing, on the server of the page. */
export const DEMO_PATH = '/api/demo-call';

/** Whether calls are those of the demo, which are on the server of the page and carry nothing. */
export function isDemo(config: ConferenceConfig): boolean {
  return config.kind === 'meeting' && config.url.endsWith(DEMO_PATH);
}

/** Whether somebody who may send nothing can be in such a call. */
export function canListenOnly(config: ConferenceConfig): boolean {
  return config.kind === 'rtc' || isDemo(config);
}

/** What may be sent in a room's call. */
export function sourcesOf(media: Media, mayWrite: boolean): Source[] {
  if (!mayWrite) return [];
  return media === 'audio' ? ['microphone'] : ['microphone', 'camera', 'screen'];
}
