// The official TypeScript clients of MCP: the package of the revisions with sessions, and that of the stateless one.
import { openJavaScript } from './mcp/javascript.mjs';
import { promises } from './mcp/promises.mjs';

promises({ name: 'MCP in TypeScript', open: openJavaScript });
