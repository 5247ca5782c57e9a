// `centrifuge-client` from crates.io, the official Rust SDK.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { target } from './lib/server.mjs';
import { openProgram } from './sdk/program.mjs';
import { promises } from './sdk/promises.mjs';
import { RUST } from './sdk/variants.mjs';

const driver = join(target, 'debug/examples/sdk_driver');

promises({
  name: 'centrifuge-client',
  missing: existsSync(driver) ? undefined : `there is no ${driver}: cargo build --example sdk_driver`,
  variants: RUST,
  open: async (settings, hear) => openProgram(driver, [], settings, hear),
});
