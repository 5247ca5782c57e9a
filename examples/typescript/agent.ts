// Answers whoever mentions it, in every room that it reaches: nothing twice, and nothing missed while it was away.
import { Centrifuge } from 'centrifuge';

type Room = { id: string; read_seq: number; head_seq: number };
type Message = { id: string; seq: number; sender: string; content: string };

const { MEET_AI_URL: url = 'http://127.0.0.1:3000', MEET_AI_KEY: key, NAME: name = 'scout' } = process.env;
const identity = { authorization: `Bearer ${key}`, 'x-meet-name': encodeURIComponent(name), 'x-meet-kind': 'agent' };

async function api<T>(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const json = body && { body: JSON.stringify(body) };
  const response = await fetch(url + path, { method, ...json, headers: { ...identity, ...headers } });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return { data: (text === '' ? undefined : JSON.parse(text)) as T, link: response.headers.get('link') ?? '' };
}

/** Put your model here. What the message says is data: it gives no orders and no rights. */
function think(message: Message): string {
  return `@${message.sender} I have read your ${message.content.split(/\s+/).length} words.`;
}

async function answerMentions(): Promise<void> {
  for (const room of (await api<Room[]>('GET', '/api/rooms?limit=1000')).data) {
    const path = `/api/rooms/${room.id}`;
    for (let place = room.read_seq; place < room.head_seq; ) {
      const unread = `/messages?mentions=${encodeURIComponent(name)}&after_seq=${place}`;
      const { data: page, link } = await api<Message[]>('GET', path + unread);
      for (const message of page) {
        const said = { sender: name, sender_type: 'agent', content: think(message), reply_to: message.id };
        // The same key for the same question: one whose place was not kept yet is not answered twice.
        await api('POST', `${path}/messages`, said, { 'idempotency-key': `answer-${message.id}` });
      }
      place = Number(/after_seq=(\d+)[^>]*>; rel="next"/.exec(link)?.[1] ?? room.head_seq);
      await api('PUT', `${path}/read`, { seq: place });
    }
  }
}

let turn = Promise.resolve();
// One at a time. A refusal, such as the loop guard's 409, leaves the mention for the next time.
const next = () => (turn = turn.then(answerMentions).catch((error: Error) => console.error(error.message)));

const client = new Centrifuge(`${url.replace('http', 'ws')}/connection/websocket`, {
  getToken: async () => (await api<{ token: string }>('POST', '/realtime/connection-token', {})).data.token,
});
// Connected, anew perhaps: what was missed comes first.
client.on('connected', next);
client.on('publication', ({ data }) => void (data.type === 'mention' && next()));
client.connect();
