// `centrifuge-python` from PyPI.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { root, target } from './lib/server.mjs';
import { openProgram } from './sdk/program.mjs';
import { promises } from './sdk/promises.mjs';
import { PYTHON } from './sdk/variants.mjs';

const python = join(target, 'sdk-python/bin/python');

promises({
  name: 'centrifuge-python',
  missing: existsSync(python) ? undefined : `there is no ${python}: scripts/install-python-sdk.sh`,
  variants: PYTHON,
  open: async (settings, hear) => openProgram(python, [join(root, 'e2e/sdk/python/driver.py')], settings, hear),
});
