// The two official TypeScript packages behind the verbs of the promises: the one of the revisions with sessions, and the
// one that also speaks the stateless revision. They differ in how they are told what to speak.
import { Client as Stateless, StreamableHTTPClientTransport as StatelessHttp } from '@modelcontextprotocol/client';
import { StdioClientTransport as StatelessStdio } from '@modelcontextprotocol/client/stdio';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const INFO = { name: 'ts-agent', version: '1' };

/** Connects a client; what it gives back are the verbs of `promises`. */
export async function openJavaScript({ transport, program, url, headers, mode }) {
  const isStateless = mode !== 'legacy';
  const client = isStateless ? new Stateless(INFO, { versionNegotiation: { mode: { pin: mode } } }) : new Client(INFO);
  const [Http, Stdio] = isStateless ? [StatelessHttp, StatelessStdio] : [StreamableHTTPClientTransport, StdioClientTransport];
  const way =
    transport === 'stdio'
      ? new Stdio({ ...program, stderr: 'inherit' })
      : new Http(new URL(url), { requestInit: { headers } });
  await client.connect(way);
  const call = ({ name, arguments: given }, options) => {
    const wanted = { name, arguments: given };
    return isStateless ? client.callTool(wanted, options) : client.callTool(wanted, undefined, options);
  };
  return {
    about: async () => ({
      revision: isStateless ? client.getNegotiatedProtocolVersion() : (way.protocolVersion ?? '2025-11-25'),
      instructions: client.getInstructions(),
    }),
    tools: () => client.listTools(),
    call: (wanted, { signal, hear } = {}) => call(wanted, { signal, onprogress: hear }),
    resources: () => client.listResources(),
    templates: () => client.listResourceTemplates(),
    resource: (uri) => client.readResource({ uri }),
    prompts: () => client.listPrompts(),
    prompt: (name) => client.getPrompt({ name }),
    close: () => client.close(),
  };
}
