// Which client carries a call, by what the server says of its conferences.

import type { ConferenceConfig } from '../types';
import type { MakeClient } from './active.svelte';
import { DemoClient } from './demo';
import { isDemo } from './kind';

/** Makes the client of a call; a library for it is loaded then. */
export function clientFor(config: ConferenceConfig): MakeClient {
  return async (hear) => {
    if (isDemo(config)) return new DemoClient(hear);
    if (config.kind === 'rtc') return new (await import('./rtc')).RtcClient(config.url, hear);
    return new (await import('./meeting')).MeetingClient(hear);
  };
}
