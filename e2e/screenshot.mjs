// Records the README's picture: the room of `meet-ai demo`, as whoever opens its link sees it when the agents are stopped.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { Demonstration } from './lib/demonstration.mjs';
import { closeTheBrowser } from './lib/person.mjs';
import { root } from './lib/server.mjs';

const demonstration = await Demonstration.start({ fast: false });
try {
  const ann = await demonstration.watch('Ann', { viewport: { width: 1200, height: 780 }, deviceScaleFactor: 1.5, colorScheme: 'light' });
  await ann.sees('@scout the first one');
  await ann.log.locator('pre code span[class]').first().waitFor();
  await ann.button('Say something').waitFor();
  await ann.page.mouse.move(0, 0);
  await ann.page.evaluate(() => document.fonts.ready);
  mkdirSync(join(root, 'docs'), { recursive: true });
  await ann.page.screenshot({ path: process.argv[2] ?? join(root, 'docs/screenshot.png'), animations: 'disabled', caret: 'hide' });
} finally {
  await closeTheBrowser();
  await demonstration.stop();
}
