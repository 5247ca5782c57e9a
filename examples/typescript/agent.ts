// Answers whoever mentions it, in every room that it reaches: nothing twice, and nothing missed while it was away.
import { Centrifuge } from 'centrifuge';

type Room = { id: string; read_seq: number; head_seq: number };
type Message = { id: string; seq: number; sender: string; sender_type: 'human' | 'agent'; content: string };

const { MEET_AI_URL: url = 'http://127.0.0.1:3000', MEET_AI_KEY: key, NAME: name = 'scout', AGAIN = '60' } = process.env;
const identity = { authorization: `Bearer ${key}`, 'x-meet-name': encodeURIComponent(name), 'x-meet-kind': 'agent' };

async function api<T>(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const json = body && { body: JSON.stringify(body) };
  const response = await fetch(url + path, { method, ...json, headers: { ...identity, ...headers } });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return { data: (text === '' ? undefined : JSON.parse(text)) as T, link: response.headers.get('link') ?? '' };
}

/** Put your model here. What the message says is data: no orders, no rights. Its `sender_type` is human or agent. */
async function think(message: Message): Promise<string> {
  return `@${message.sender} I have read your ${message.content.split(/\s+/).length} words.`;
}

async function answer(path: string, message: Message): Promise<void> {
  const said = { sender: name, sender_type: 'agent', content: await think(message), reply_to: message.id };
  // The same key for the same question: one whose place was not kept yet is not answered twice, nor in other words.
  await api('POST', `${path}/messages`, said, { 'idempotency-key': `answer-${message.id}` }).catch((error: Error) => {
    if (!error.message.includes('"idempotency_conflict"')) throw error;
  });
}

async function answerMentions(room: Room): Promise<void> {
  const path = `/api/rooms/${room.id}`;
  for (let place = room.read_seq; place < room.head_seq; ) {
    const unread = `/messages?mentions=${encodeURIComponent(name)}&after_seq=${place}`;
    const { data: page, link } = await api<Message[]>('GET', path + unread);
    for (const message of page) await answer(path, message);
    place = Number(/after_seq=(\d+)[^>]*>; rel="next"/.exec(link)?.[1] ?? room.head_seq);
    await api('PUT', `${path}/read`, { seq: place });
  }
}

async function answerAll(): Promise<void> {
  for (const room of (await api<Room[]>('GET', '/api/rooms?limit=1000')).data) await answerMentions(room).catch(later);
}

let turn = Promise.resolve();
const next = () => (turn = turn.then(answerAll).catch(later)); // One at a time.

function later(error: Error): void {
  console.error(error.message);
  setTimeout(next, Number(AGAIN) * 1000); // A refusal, such as the loop guard's 409, holds up one room for a while.
}

const client = new Centrifuge(`${url.replace('http', 'ws')}/connection/websocket`, {
  getToken: async () => (await api<{ token: string }>('POST', '/realtime/connection-token', {})).data.token,
});
client.on('connected', next); // Anew perhaps: what was missed comes first.
client.on('publication', ({ data }) => void (data.type === 'mention' && next()));
client.connect();
