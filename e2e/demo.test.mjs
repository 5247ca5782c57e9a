// `meet-ai demo` in a browser: within seconds there is a room in which agents work, are stopped, and go on.
import { after, test } from 'node:test';

import { Demonstration } from './lib/demonstration.mjs';
import { closeTheBrowser, program } from './lib/person.mjs';
import { PATIENCE } from './lib/server.mjs';

after(closeTheBrowser);

test('a demonstration is watched by its link, and answers who watches', { skip: program ? false : 'Chromium is missing', timeout: 4 * PATIENCE }, async () => {
  const demonstration = await Demonstration.start();
  try {
    const ann = await demonstration.watch('Ann');
    await ann.sees('1.4 is tagged.');
    await ann.says('@scout are you there?');
    await ann.sees('@Ann I heard you.');
    if (ann.problems.length > 0) throw new Error(ann.problems.join('\n'));
  } finally {
    await demonstration.stop();
  }
});
