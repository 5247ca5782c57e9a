// The list of rooms and what is unread in it, kept up to date by what the connection tells.

import { api, ApiError } from './api';
import { Marking } from './marking';
import * as readings from './readings';
import { isMarks, markRead, type Marks } from './readmarks';
import { local, readJson } from './storage';
import type { AgentRules, LiveEvent, Message, Room } from './types';

const MARKS = 'meet-ai-read';
const LAST = 'meet-ai-room';

export class Rooms {
  /** The member's own rooms, oldest first. */
  list = $state.raw<readonly Room[]>([]);
  /** Rooms that anybody may read. */
  open = $state.raw<readonly Room[]>([]);
  loaded = $state(false);
  /** How far the member has read its own rooms. */
  readings = $state.raw<Readonly<Record<string, readings.Held>>>({});
  #marks: Marks = readJson(local, MARKS, isMarks, {});
  /** Called when the list says that the session is over. */
  onsignedout: () => void = () => undefined;
  /** How often the list was asked for, and which of these answers it is from. */
  #asked = 0;
  #answered = 0;
  /** What the connection told while a list was under way, which may be older than that; for each list by itself. */
  #news = new Set<(() => void)[]>();
  #marking = new Marking(
    (room, seq) => api.markRead(room, seq),
    (reading) => this.hear({ type: 'read', ...reading }),
  );

  find(id: string): Room | undefined {
    return this.list.find((room) => room.id === id);
  }

  /** How many messages of others the reader has not read in a room, up to `MOST`. */
  unread(id: string): number {
    return this.readings[id]?.unread ?? 0;
  }

  /** How many of them mention the reader; of all rooms without an `id`. */
  mentions(id?: string): number {
    const held = id === undefined ? Object.values(this.readings) : [this.readings[id]];
    return held.reduce((sum, one) => sum + (one?.mentions ?? 0), 0);
  }

  /** Up to which message a room was read; nothing when the reader was never there. */
  readSeq(id: string): number | undefined {
    return this.readings[id]?.read_seq ?? this.#marks[id];
  }

  get lastVisited(): string | null {
    return local.get(LAST);
  }

  /** Loads what the signed-in member, or anybody, may see; false when a later answer overtook this one. */
  async load(signedIn: boolean): Promise<boolean> {
    const turn = ++this.#asked;
    const [mine, open] = await Promise.all([
      signedIn ? api.rooms() : [],
      api.publicRooms().catch((error: unknown) => {
        if (signedIn) return [];
        throw error;
      }),
    ]);
    if (turn < this.#answered) return false;
    this.#answered = turn;
    this.list = mine;
    this.open = open.filter((room) => !mine.some((one) => one.id === room.id));
    this.readings = Object.fromEntries(mine.map((room) => [room.id, readings.listed(this.readings[room.id], room)]));
    this.loaded = true;
    return true;
  }

  async create(name: string, visibility: Room['visibility']): Promise<Room> {
    const room = await api.createRoom(name, visibility);
    this.put(room);
    return room;
  }

  /** Takes a room as the server last showed it. */
  put(room: Room): void {
    this.open = this.open.filter((one) => one.id !== room.id);
    const at = this.list.findIndex((one) => one.id === room.id);
    this.list = at === -1 ? [...this.list, room] : this.list.with(at, room);
    this.#reads(room.id, readings.listed(this.readings[room.id], room));
  }

  /** Takes what the channel of a room says of its agents, who had said all up to `head`. */
  guarded(id: string, agents: AgentRules, head: number): void {
    const room = this.find(id);
    if (room) this.put({ ...room, agents, head_seq: Math.max(room.head_seq, head) });
  }

  drop(id: string): void {
    this.list = this.list.filter((room) => room.id !== id);
    this.readings = Object.fromEntries(Object.entries(this.readings).filter(([room]) => room !== id));
    this.open = this.open.filter((room) => room.id !== id);
  }

  visited(id: string): void {
    local.set(LAST, id);
  }

  /** The reader has read a room up to a message. */
  read(id: string, seq: number): void {
    if (seq <= (this.readSeq(id) ?? -1)) return;
    if (this.find(id)) {
      this.#reads(id, readings.readTo(this.readings[id], seq));
      this.#marking.read(id, seq);
    } else {
      this.#marks = markRead(this.#marks, id, seq);
      local.set(MARKS, JSON.stringify(this.#marks));
    }
  }

  /** Takes what the connection tells of a room. */
  hear(event: LiveEvent): void {
    if (event.type === 'room_deleted') this.#tell(() => this.drop(event.id));
    else if (event.type === 'room_created' || event.type === 'room_updated') this.#tell(() => this.put(event));
    else if (event.type === 'read') this.#tell(() => this.#reads(event.room_id, readings.told(this.readings[event.room_id], event)));
    else if (event.type === 'mention') this.#tell(() => this.#mentioned(event.message));
  }

  /** Reads the member's list anew, so that nothing is missed that came before the connection did. */
  async refresh(): Promise<void> {
    const news: (() => void)[] = [];
    this.#news.add(news);
    try {
      if (await this.load(true)) for (const one of news) one();
    } catch (error) {
      if (this.#news.has(news) && error instanceof ApiError && error.status === 401) this.onsignedout();
    } finally {
      this.#news.delete(news);
    }
  }

  clear(): void {
    this.#news.clear();
    this.#answered = ++this.#asked;
    this.#marking.stop();
    this.list = [];
    this.readings = {};
    this.open = [];
    this.loaded = false;
  }

  #tell(news: () => void): void {
    news();
    for (const open of this.#news) open.push(news);
  }

  #reads(id: string, held: readings.Held): void {
    this.readings = { ...this.readings, [id]: held };
  }

  #mentioned(message: Message): void {
    const held = this.readings[message.room_id];
    if (held) this.#reads(message.room_id, readings.mentioned(held, message));
  }
}

export const rooms = new Rooms();
