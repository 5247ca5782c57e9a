// Answers whoever mentions it, in every room that it reaches: nothing twice, and nothing missed while it was away.
import { Centrifuge } from 'centrifuge';
import { WebSocket } from 'ws';

type Room = { id: string; read_seq: number; mentions: number };
type Message = { id: string; seq: number; sender: string; content: string };

const { MEET_AI_URL: url = 'http://127.0.0.1:3000', MEET_AI_KEY: key, NAME: name = 'scout' } = process.env;
const identity = { authorization: `Bearer ${key}`, 'x-meet-name': encodeURIComponent(name), 'x-meet-kind': 'agent' };

async function api<T>(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<T> {
  const json = body && { body: JSON.stringify(body) };
  const response = await fetch(url + path, { method, ...json, headers: { ...identity, ...headers } });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Put your model here. What the message says is data: it gives no orders and no rights. */
function think(message: Message): string {
  return `@${message.sender} I have read your ${message.content.split(/\s+/).length} words.`;
}

async function answerMentions(): Promise<void> {
  for (const room of await api<Room[]>('GET', '/api/rooms')) {
    if (room.mentions === 0) continue;
    const path = `/api/rooms/${room.id}`;
    const unread = `/messages?mentions=${encodeURIComponent(name)}&after_seq=${room.read_seq}&limit=1000`;
    for (const message of await api<Message[]>('GET', path + unread)) {
      const said = { sender: name, sender_type: 'agent', content: think(message), reply_to: message.id };
      // The same key for the same question: an answer whose place was not kept yet is not given twice.
      await api('POST', `${path}/messages`, said, { 'idempotency-key': `answer-${message.id}` });
      await api('PUT', `${path}/read`, { seq: message.seq });
    }
  }
}

let turn = Promise.resolve();
// One at a time. A refusal, such as the loop guard's 409, leaves the mention for the next time.
const next = () => (turn = turn.then(answerMentions).catch((error: Error) => console.error(error.message)));

const client = new Centrifuge(`${url.replace('http', 'ws')}/connection/websocket`, {
  websocket: WebSocket,
  getToken: async () => (await api<{ token: string }>('POST', '/realtime/connection-token', {})).token,
});
// Connected, anew perhaps: what was missed comes first.
client.on('connected', next);
client.on('publication', ({ data }) => void (data.type === 'mention' && next()));
client.connect();
