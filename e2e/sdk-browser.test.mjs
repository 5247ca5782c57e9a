// `centrifuge` from npm, in a browser.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';

import { closeTheBrowser, program, theBrowser } from './lib/person.mjs';
import { PATIENCE, root } from './lib/server.mjs';
import { promises } from './sdk/promises.mjs';
import { JAVASCRIPT } from './sdk/variants.mjs';

const driver = (await readFile(join(root, 'e2e/sdk/javascript.mjs'), 'utf8')).replace('export function drive', 'globalThis.drive = function');
after(closeTheBrowser);

// Pages of the server's own origin without the policy of its pages: an application is served with its own. One process
// for all of them, because starting one takes longer than most stories.
let context;
const theContext = () => (context ??= theBrowser(['--process-per-site']).then((browser) => browser.newContext({ bypassCSP: true })));

promises({
  name: 'centrifuge in Chromium',
  missing: program ? undefined : 'Chromium is missing: as root, apt-get install chromium',
  variants: JAVASCRIPT,
  open: async (settings, hear) => {
    const page = await (await theContext()).newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(`${settings.url}/healthz`);
    await page.exposeFunction('hear', hear);
    const bundle = settings.protocol === 'protobuf' ? 'centrifuge.protobuf.js' : 'centrifuge.js';
    await page.addScriptTag({ path: join(root, 'e2e/node_modules/centrifuge/dist', bundle) });
    await page.evaluate(driver);
    await page.evaluate((settings) => {
      globalThis.perform = globalThis.drive(globalThis.Centrifuge, {}, settings, globalThis.hear);
    }, settings);
    return {
      perform: (action, argument) => page.evaluate(([action, argument]) => globalThis.perform(action, argument), [action, argument]),
      close: () => page.close(),
    };
  },
});
