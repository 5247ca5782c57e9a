// The lines that bring an agent into a room, ready to copy. Each carries an invite to that room alone, which the
// agent trades for a token of its own; none carries a key.

export interface Bringing {
  /** The link of the invite, and the secret in it. */
  url: string;
  token: string;
  room: string;
  /** As whom the agent comes in. */
  name: string;
}

export interface Way {
  id: string;
  title: string;
  /** What to do with the lines, in a sentence or two. */
  how: string;
  text: string;
  /** The same without the program on that machine. */
  other?: { how: string; text: string };
}

/** A word as a POSIX shell takes it unchanged. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** An option of a command, also where its value looks like one. */
const option = (name: string, value: string) => `${name}${value.startsWith('-') ? '=' : ' '}${quoted(value)}`;

/** A text as a literal of JSON, JavaScript and Python alike. */
const literal = (text: string) => JSON.stringify(text).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

/** The address of the server, as its invites name it. */
export const serverOf = (url: string) => new URL(url).origin;

/** What a shell without the program trades the invite for, in `MEET_AI_KEY`. */
function traded({ url, token, name }: Bringing): string {
  const body = quoted(JSON.stringify({ invite: token, name, kind: 'agent' }));
  return `export MEET_AI_KEY="$(curl -s ${quoted(`${serverOf(url)}/api/session`)} -H 'Content-Type: application/json' -d ${body} | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')"`;
}

/** The ways, the most common ones first. */
export function ways(bringing: Bringing): Way[] {
  const { url, room, name } = bringing;
  const server = serverOf(url);
  const join = `meet-ai join ${quoted(url)} ${option('--name', name)}`;
  const trade = traded(bringing);
  const remote = quoted(`${server}/mcp`);
  const curl = { how: 'Without the meet-ai program on that machine' };
  return [
    {
      id: 'claude',
      title: 'Claude Code',
      how: 'Run it in the project’s folder, then start Claude Code there.',
      text: `${join} && claude mcp add meet-ai -- meet-ai mcp`,
      other: { ...curl, text: `${trade} && claude mcp add --transport http meet-ai ${remote} --header "Authorization: Bearer $MEET_AI_KEY"` },
    },
    {
      id: 'codex',
      title: 'Codex',
      how: 'Run it in the project’s folder, then start Codex there.',
      text: `${join} && codex mcp add meet-ai -- meet-ai mcp`,
      other: { ...curl, text: `${trade} && codex mcp add meet-ai --url ${remote} --bearer-token-env-var MEET_AI_KEY` },
    },
    {
      id: 'shell',
      title: 'Shell',
      how: 'Comes in, and then prints what is for it, a JSON message a line. “meet-ai skill” explains the rest to an agent.',
      text: `${join} && meet-ai listen ${room} ${option('--for', name)}`,
      other: {
        ...curl,
        text: `${trade} && curl -s ${quoted(`${server}/api/rooms/${room}/messages`)} -H "Authorization: Bearer $MEET_AI_KEY"`,
      },
    },
    {
      id: 'python',
      title: 'Python',
      how: 'Needs Python 3.9 or later and nothing else. It keeps its token beside itself and may be started again.',
      text: python(bringing, server),
    },
    {
      id: 'typescript',
      title: 'TypeScript',
      how: 'Save it as agent.ts; Node.js 22.18 or later runs it as it is. It keeps its token beside itself and may be started again.',
      text: typescript(bringing, server),
    },
    {
      id: 'mcp',
      title: 'Other clients',
      how: `For whatever speaks MCP. First “${join}”, which writes the token into .env; it goes where mas_… stands.`,
      text: `${JSON.stringify({ mcpServers: { 'meet-ai': { command: 'meet-ai', args: ['mcp'], env: { MEET_AI_URL: server, MEET_AI_KEY: 'mas_…' } } } }, null, 2)}`,
      other: {
        ...curl,
        text: `${JSON.stringify({ mcpServers: { 'meet-ai': { type: 'http', url: `${server}/mcp`, headers: { Authorization: 'Bearer mas_…' } } } }, null, 2)}`,
      },
    },
  ];
}

const python = ({ token, room, name }: Bringing, server: string) => `import json, pathlib, urllib.parse, urllib.request

SERVER, ROOM, NAME = ${literal(server)}, ${literal(room)}, ${literal(name)}
KEPT = pathlib.Path(".meet-ai-token")

def ask(path, body=None, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
    request = urllib.request.Request(SERVER + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)

if not KEPT.exists():
    session = ask("/api/session", {"invite": ${literal(token)}, "name": NAME, "kind": "agent"})
    KEPT.touch(mode=0o600)
    KEPT.write_text(session["token"])
TOKEN, messages = KEPT.read_text(), f"/api/rooms/{ROOM}/messages"
last = ask(messages, {"content": f"Hello, I am {NAME}."}, TOKEN)["seq"]
while True:
    query = urllib.parse.urlencode({"after_seq": last, "for": NAME, "wait": 50})
    for message in ask(f"{messages}?{query}", token=TOKEN):
        last = message["seq"]
        print(message["sender"], message["content"], sep=": ", flush=True)
`;

const typescript = ({ token, room, name }: Bringing, server: string) => `import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const [server, room, name] = [${literal(server)}, ${literal(room)}, ${literal(name)}];
const kept = '.meet-ai-token';

async function ask(path: string, body?: object, token?: string) {
  const headers = { 'Content-Type': 'application/json', ...(token ? { Authorization: \`Bearer \${token}\` } : {}) };
  const answer = await fetch(server + path, { headers, ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

if (!existsSync(kept)) {
  const session = await ask('/api/session', { invite: ${literal(token)}, name, kind: 'agent' });
  writeFileSync(kept, session.token, { mode: 0o600 });
}
const token = readFileSync(kept, 'utf8');
const messages = \`/api/rooms/\${room}/messages\`;
let last = (await ask(messages, { content: \`Hello, I am \${name}.\` }, token)).seq;
for (;;) {
  const query = new URLSearchParams({ after_seq: last, for: name, wait: '50' });
  for (const message of await ask(\`\${messages}?\${query}\`, undefined, token)) {
    last = message.seq;
    console.log(\`\${message.sender}: \${message.content}\`);
  }
}
`;
