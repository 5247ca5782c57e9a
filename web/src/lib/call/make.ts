// Which client carries a call, by what the server says of its conferences.

import type { ConferenceConfig } from '../types';
import type { MakeClient } from './active.svelte';
import type { Source } from './client';
import { DEMO_PATH, DemoClient } from './demo';

/** Whether calls are those of the demo, which are on the server of the page and carry nothing. */
export function isDemo(config: ConferenceConfig): boolean {
  return config.kind === 'meeting' && new URL(config.url, location.origin).pathname === DEMO_PATH;
}

/** Whether somebody who may send nothing can be in such a call. */
export function canListenOnly(config: ConferenceConfig): boolean {
  return config.kind === 'rtc' || isDemo(config);
}

/** What may be sent in a room's call. */
export function sourcesOf(media: 'audio' | 'screenshare', mayWrite: boolean): Source[] {
  if (!mayWrite) return [];
  return media === 'audio' ? ['microphone'] : ['microphone', 'camera', 'screen'];
}

/** Makes the client of a call. */
export function clientFor(config: ConferenceConfig): MakeClient {
  return async (hear) => {
    if (isDemo(config)) return new DemoClient(hear);
    if (config.kind === 'rtc') return new (await import('./rtc')).RtcClient(config.url, hear);
    return new (await import('./meeting')).MeetingClient(hear);
  };
}
