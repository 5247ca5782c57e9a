// `centrifuge` from npm, in Node.
import { Centrifuge } from 'centrifuge';
import { Centrifuge as BinaryCentrifuge } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { WebSocket } from 'ws';

import { drive } from './sdk/javascript.mjs';
import { promises } from './sdk/promises.mjs';
import { JAVASCRIPT } from './sdk/variants.mjs';

promises({
  name: 'centrifuge in Node',
  variants: JAVASCRIPT,
  open: async (settings, hear) => {
    const sdk = settings.protocol === 'protobuf' ? BinaryCentrifuge : Centrifuge;
    const perform = drive(sdk, { websocket: WebSocket, eventsource: EventSource }, settings, hear);
    return { perform, close: () => perform('disconnect') };
  },
});
