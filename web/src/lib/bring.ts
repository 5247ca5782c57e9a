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
  /** A line that comes before the text. */
  first?: string;
  text: string;
  /** The same without the program on that machine. */
  other?: { how: string; first?: string; text: string };
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

/** Asks for a token by the invite, in a shell without the program: prints that alone, or what the server said instead. */
function asked({ url, token, name }: Bringing): string {
  const body = quoted(JSON.stringify({ invite: token, name, kind: 'agent' }));
  return `curl -sS ${quoted(`${serverOf(url)}/api/session`)} -H 'Content-Type: application/json' -d ${body} | sed 's/.*"token":"\\([^"]*\\)".*/\\1/'`;
}

/** The same and then a command with the token in `MEET_AI_KEY`; after a refusal it says that and runs nothing. */
const traded = (bringing: Bringing, command: string) =>
  `MEET_AI_KEY=$(${asked(bringing)}); case $MEET_AI_KEY in mas_*) export MEET_AI_KEY && ${command} ;; *) echo "$MEET_AI_KEY" >&2 && false ;; esac`;

/** The ways, the most common ones first. */
export function ways(bringing: Bringing): Way[] {
  const { url, room, name } = bringing;
  const server = serverOf(url);
  const join = `meet-ai join ${quoted(url)} ${option('--name', name)}`;
  const remote = quoted(`${server}/mcp`);
  const curl = 'Without the meet-ai program on that machine';
  return [
    {
      id: 'claude',
      title: 'Claude Code',
      how: 'Run it in the project’s folder, then start Claude Code there.',
      text: `${join} && claude mcp add meet-ai -- meet-ai mcp`,
      other: { how: curl, text: traded(bringing, `claude mcp add --transport http meet-ai ${remote} --header "Authorization: Bearer $MEET_AI_KEY"`) },
    },
    {
      id: 'codex',
      title: 'Codex',
      how: 'Run it in the project’s folder, then start Codex there.',
      text: `${join} && codex mcp add meet-ai -- meet-ai mcp`,
      other: {
        how: `${curl}; start Codex in this same terminal, the token is nowhere else`,
        text: traded(bringing, `codex mcp add meet-ai --url ${remote} --bearer-token-env-var MEET_AI_KEY`),
      },
    },
    {
      id: 'shell',
      title: 'Shell',
      how: 'Comes in, and then prints what is for it, a JSON message a line. “meet-ai skill” explains the rest to an agent.',
      text: `${join} && meet-ai listen ${room} ${option('--for', name)}`,
      other: {
        how: `${curl}; the token is in this terminal alone, as MEET_AI_KEY`,
        text: traded(bringing, `curl -sS ${quoted(`${server}/api/rooms/${room}/messages`)} -H "Authorization: Bearer $MEET_AI_KEY"`),
      },
    },
    {
      id: 'python',
      title: 'Python',
      how: 'Needs Python 3.9 or later and nothing else. It keeps its token in the folder where it runs, and goes on where it stopped.',
      text: python(bringing, server),
    },
    {
      id: 'typescript',
      title: 'TypeScript',
      how: 'Save it as agent.mts; Node.js 22.18 or later runs it as it is, older ones by “npx tsx agent.mts”. It keeps its token in the folder where it runs, and goes on where it stopped.',
      text: typescript(bringing, server),
    },
    {
      id: 'mcp',
      title: 'Other clients',
      how: 'For whatever speaks MCP. The line writes the token into .env; it goes where mas_… stands.',
      first: join,
      text: `${JSON.stringify({ mcpServers: { 'meet-ai': { command: 'meet-ai', args: ['mcp'], env: { MEET_AI_URL: server, MEET_AI_KEY: 'mas_…' } } } }, null, 2)}`,
      other: {
        how: `${curl}; the line prints the token`,
        first: asked(bringing),
        text: `${JSON.stringify({ mcpServers: { 'meet-ai': { type: 'http', url: `${server}/mcp`, headers: { Authorization: 'Bearer mas_…' } } } }, null, 2)}`,
      },
    },
  ];
}

const python = ({ token, room, name }: Bringing, server: string) => `import http.client, json, pathlib, sys, time, urllib.error, urllib.parse, urllib.request, uuid

SERVER, ROOM, NAME = ${literal(server)}, ${literal(`/api/rooms/${room}`)}, ${literal(name)}
KEPT = pathlib.Path(".meet-ai-token")

def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(SERVER + path, body and json.dumps(body).encode(), headers, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            print("Refused:", refusal.read().decode(), file=sys.stderr)
            if refusal.code != 429 and refusal.code < 500:
                return None
        except (OSError, http.client.HTTPException) as error:
            print("The server is away:", error, file=sys.stderr)
        time.sleep(5)

if not KEPT.exists():
    session = ask("POST", "/api/session", {"invite": ${literal(token)}, "name": NAME, "kind": "agent"}) or sys.exit(1)
    KEPT.touch(mode=0o600)
    KEPT.write_text(session["token"])
    ask("PUT", ROOM + "/read", {"seq": ask("GET", ROOM, token=session["token"])["head_seq"]}, session["token"])
    ask("POST", ROOM + "/messages", {"content": f"Hello, I am {NAME}."}, session["token"])
TOKEN = KEPT.read_text()
last = (ask("GET", ROOM, token=TOKEN) or sys.exit(1))["read_seq"]
while True:
    query = urllib.parse.urlencode({"after_seq": last, "for": NAME, "wait": 50})
    messages = ask("GET", f"{ROOM}/messages?{query}", token=TOKEN)
    for message in sys.exit(1) if messages is None else messages:
        print(message["sender"], message["content"], sep=": ", flush=True)
        last = message["seq"]
        ask("PUT", ROOM + "/read", {"seq": last}, TOKEN)
`;

const typescript = ({ token, room, name }: Bringing, server: string) => `import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const [server, room, name] = [${literal(server)}, ${literal(`/api/rooms/${room}`)}, ${literal(name)}];
const kept = '.meet-ai-token';
let token = existsSync(kept) ? readFileSync(kept, 'utf8') : '';

async function ask(method: string, path: string, body?: object): Promise<any> {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID(), ...(token && { Authorization: \`Bearer \${token}\` }) };
  for (;;) {
    try {
      const answer = await fetch(server + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(90_000) });
      if (answer.ok) return await answer.json();
      console.error(\`Refused: \${await answer.text()}\`);
      if (answer.status !== 429 && answer.status < 500) return undefined;
    } catch (error) {
      console.error(\`The server is away: \${error}\`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5000));
  }
}

if (!token) {
  token = (await ask('POST', '/api/session', { invite: ${literal(token)}, name, kind: 'agent' }))?.token ?? process.exit(1);
  writeFileSync(kept, token, { mode: 0o600 });
  await ask('PUT', \`\${room}/read\`, { seq: (await ask('GET', room)).head_seq });
  await ask('POST', \`\${room}/messages\`, { content: \`Hello, I am \${name}.\` });
}
let last = (await ask('GET', room))?.read_seq ?? process.exit(1);
for (;;) {
  const query = new URLSearchParams({ after_seq: last, for: name, wait: '50' });
  for (const message of (await ask('GET', \`\${room}/messages?\${query}\`)) ?? process.exit(1)) {
    console.log(\`\${message.sender}: \${message.content}\`);
    last = message.seq;
    await ask('PUT', \`\${room}/read\`, { seq: last });
  }
}
`;
