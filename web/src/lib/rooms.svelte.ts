// The list of rooms and what is unread in it, kept up to date by what the connection tells.

import { api, ApiError } from './api';
import { baseline, isMarks, isUnread, markRead, type Marks } from './readmarks';
import { local, readJson } from './storage';
import type { LiveEvent, Room } from './types';

const MARKS = 'meet-ai-read';
const LAST = 'meet-ai-room';

export class Rooms {
  /** The member's own rooms, oldest first. */
  list = $state.raw<readonly Room[]>([]);
  /** Rooms that anybody may read. */
  open = $state.raw<readonly Room[]>([]);
  loaded = $state(false);
  marks = $state.raw<Marks>(readJson(local, MARKS, isMarks, {}));
  /** Called when the list says that the session is over. */
  onsignedout: () => void = () => undefined;
  /** How often the list was asked for, and which of these answers it is from. */
  #asked = 0;
  #answered = 0;
  /** What the connection told while a list was under way, which may be older than that; for each list by itself. */
  #news = new Set<(() => void)[]>();

  find(id: string): Room | undefined {
    return this.list.find((room) => room.id === id);
  }

  unread(room: Room): boolean {
    return isUnread(this.marks, room);
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
    const first = local.get(MARKS) === null;
    this.list = mine;
    this.open = open.filter((room) => !mine.some((one) => one.id === room.id));
    if (signedIn) this.#keep(baseline(this.marks, mine, first));
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
  }

  drop(id: string): void {
    this.list = this.list.filter((room) => room.id !== id);
    this.open = this.open.filter((room) => room.id !== id);
  }

  visited(id: string): void {
    local.set(LAST, id);
  }

  read(id: string, seq: number): void {
    this.#keep(markRead(this.marks, id, seq));
  }

  /** Takes what the connection tells of a room. */
  hear(event: LiveEvent): void {
    if (event.type === 'room_deleted') this.#tell(() => this.drop(event.id));
    else if (event.type === 'room_created' || event.type === 'room_updated') this.#tell(() => this.put(event));
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
    this.list = [];
    this.open = [];
    this.loaded = false;
  }

  #tell(news: () => void): void {
    news();
    for (const open of this.#news) open.push(news);
  }

  #keep(marks: Marks): void {
    if (marks === this.marks) return;
    this.marks = marks;
    local.set(MARKS, JSON.stringify(marks));
  }
}

export const rooms = new Rooms();
