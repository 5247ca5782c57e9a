// The official Python client of MCP, from PyPI.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { target } from './lib/server.mjs';
import { openPython } from './mcp/program.mjs';
import { promises } from './mcp/promises.mjs';

const python = join(target, 'sdk-python/bin/python');

promises({
  name: 'MCP in Python',
  missing: existsSync(python) ? undefined : `there is no ${python}: scripts/install-python-sdk.sh`,
  open: (settings) => openPython(python, settings),
});
