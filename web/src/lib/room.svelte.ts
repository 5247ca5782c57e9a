// One open room: its messages, who is there, and the connection. It joins the pure timeline with the
// socket and the API; components read it and call it, and know of neither.

import { api, ApiError, explain } from './api';
import { Live, type LiveState, type Probe, type Socket } from './live';
import { MOST_KNOWN } from './mentions';
import { Outbox } from './outbox';
import * as pasts from './past';
import type { Past } from './past';
import { apply } from './presence';
import { perTab } from './storage';
import * as timelines from './timeline';
import type { Timeline } from './timeline';
import type { Message, PresenceMember, Room, ServerFrame, User } from './types';
import { keepUnsent, readUnsent } from './unsent';

const PAGE = 100;
const GAP_PAGE = 1000;
/** How many messages are shown below one that was looked for. */
const AFTER_HIT = 25;
const MOST_LOADED = 6000;
const KEPT = 2000;
const FLUSH_MS = 16;
const RESEND_MS = 10 * 60_000;
const PRESENCE_MS = 15_000;

type Status = 'loading' | 'ready' | 'gone' | 'signed_out' | 'failed';

/** An id that nobody else makes; `randomUUID` is missing on pages that came over plain http. */
function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class OpenRoom {
  readonly id: string;
  readonly me: User | null;
  room = $state.raw<Room | null>(null);
  status = $state<Status>('loading');
  problem = $state('');
  timeline = $state.raw<Timeline>(timelines.empty);
  /** What is shown instead of the timeline while the reader is far back. */
  past = $state.raw<Past | null>(null);
  live = $state.raw<LiveState>({ kind: 'connecting' });
  members = $state.raw<readonly PresenceMember[]>([]);
  watching = $state(0);
  loadingOlder = $state(false);
  /** Every name seen here, for mentions. */
  names = $state.raw<readonly string[]>([]);
  /** Called with messages that came while the room was open. */
  onarrive: (messages: readonly Message[]) => void = () => undefined;

  #epoch: string | null = null;
  #connection: Live;
  #outbox: Outbox;
  #buffer: Message[] = [];
  #flush: ReturnType<typeof setTimeout> | undefined;
  #presence: ReturnType<typeof setInterval> | undefined;
  #filling = false;
  #loadingPage = 0;
  #loading: Promise<void> | null = null;
  #stopped = false;

  constructor(id: string, me: User | null, known: Room | undefined) {
    this.id = id;
    this.me = me;
    this.room = known ?? null;
    if (me) this.names = [me.name];
    this.#connection = new Live({
      url: () => this.#url(),
      connect: (url) => new WebSocket(url) as unknown as Socket,
      probe: () => this.#probe(),
      chance: Math.random,
      onframe: (frame) => this.#frame(frame),
      onstate: (state) => this.#connected(state),
    });
    this.#outbox = new Outbox({
      socket: (message) => this.#connection.send(message),
      post: (clientId, message) => api.post(this.id, clientId, message),
      body: (pending) => ({
        content: pending.content,
        ...(this.me ? { sender: this.me.name, sender_type: 'human' as const } : {}),
        ...(pending.reply_to === null ? {} : { reply_to: pending.reply_to }),
      }),
      onstored: (clientId, id, seq) => this.#set(timelines.confirm(this.timeline, clientId, id, seq)),
      onfailed: (clientId, error, retryAt) => this.#set(timelines.fail(this.timeline, clientId, error, retryAt)),
    });
  }

  async open(): Promise<void> {
    try {
      this.room ??= await api.room(this.id);
      this.#epoch = this.room.epoch;
      this.#restoreUnsent();
      await this.#loadNewest(this.room.head_seq);
      if (this.#stopped) return;
      this.status = 'ready';
      this.#connection.start();
      void this.#loadPresence();
      this.#presence = setInterval(() => {
        if (!document.hidden) void this.#loadPresence();
      }, PRESENCE_MS);
      addEventListener('online', this.#wake);
      document.addEventListener('visibilitychange', this.#wake);
    } catch (error) {
      if (!this.#stopped) this.#refused(error);
    }
  }

  close(): void {
    this.#stopped = true;
    this.#connection.stop();
    this.#outbox.stop();
    clearTimeout(this.#flush);
    clearInterval(this.#presence);
    removeEventListener('online', this.#wake);
    document.removeEventListener('visibilitychange', this.#wake);
  }

  /** Tries the connection now instead of waiting. */
  reconnect(): void {
    this.#connection.wake();
  }

  say(content: string, replyTo: string | null): void {
    const message = {
      client_id: newId(),
      content,
      reply_to: replyTo,
      created_at: new Date().toISOString(),
    };
    this.#set(timelines.send(this.timeline, message));
    this.#outbox.send(this.timeline.pending.at(-1)!);
  }

  retry(clientId: string): void {
    this.#set(timelines.retry(this.timeline, clientId));
    const pending = this.timeline.pending.find((one) => one.client_id === clientId);
    if (pending) this.#outbox.send(pending);
  }

  discard(clientId: string): void {
    this.#outbox.drop(clientId);
    this.#set(timelines.discard(this.timeline, clientId));
  }

  /** Whether what is shown begins where the room does. */
  get reachedStart(): boolean {
    return (this.past ?? this.timeline).reachedStart;
  }

  async loadOlder(): Promise<void> {
    if (this.reachedStart) return;
    await this.#load(async (isStill) => {
      const past = this.past;
      const page = await api.before(this.id, past ? past.messages[0]!.seq : timelines.firstSeq(this.timeline), PAGE);
      if (!isStill()) return;
      this.#learnFrom(page);
      if (past) this.past = pasts.older(past, page);
      else this.#set(timelines.prepend(this.timeline, page, pasts.hasMore(page)));
    });
  }

  /** Loads on from a place far back towards the newest message. */
  async loadNewer(): Promise<void> {
    await this.#load(async (isStill) => {
      const past = this.past;
      if (!past) return;
      const page = await api.after(this.id, past.messages.at(-1)!.seq, PAGE);
      if (!isStill()) return;
      this.#learnFrom(page);
      this.#visit(page.length === 0 ? { timeline: this.timeline, past: null } : pasts.newer(this.timeline, past, page));
    });
  }

  /** Loads what lies around a message that may be anywhere in the room; fails when that cannot be had. */
  async goTo(seq: number): Promise<void> {
    while (this.#loading) await this.#loading.catch(() => undefined);
    await this.#load(async (isStill) => {
      const page = await api.before(this.id, seq + 1 + AFTER_HIT, PAGE);
      if (!isStill()) return;
      this.#learnFrom(page);
      this.#visit(pasts.visit(this.timeline, page));
    });
  }

  /** The number of a message by its id, when the room has it. */
  async seqOf(id: string): Promise<number | null> {
    const [next] = await api.afterMessage(this.id, id, 1);
    return next ? next.seq - 1 : null;
  }

  /** Shows the timeline again, up to the newest message. */
  leavePast(): void {
    this.past = null;
  }

  /** Loads one page at a time; `isStill` tells whether what was asked for is still wanted. */
  async #load(page: (isStill: () => boolean) => Promise<void>): Promise<void> {
    if (this.#loading || !this.timeline.loaded) return;
    const [generation, past] = [this.#loadingPage, this.past];
    this.loadingOlder = true;
    this.#loading = page(() => generation === this.#loadingPage && past === this.past && !this.#stopped).finally(() => {
      this.loadingOlder = false;
      this.#loading = null;
    });
    await this.#loading;
  }

  #visit({ timeline, past }: { timeline: Timeline; past: Past | null }): void {
    this.#set(timeline);
    this.past = past;
  }

  /** Lets go of the far end of a long history; only safe while the reader is at the newest message. */
  trim(): void {
    this.#set(timelines.trim(this.timeline, MOST_LOADED, KEPT));
  }

  /** Waits for no more messages to come in one piece: shows those that came. */
  #take(): void {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    const incoming = this.#buffer;
    if (incoming.length === 0) return;
    this.#buffer = [];
    const before = this.timeline.to;
    this.#learnFrom(incoming);
    this.#set(timelines.receive(this.timeline, incoming, this.me?.id ?? null));
    if (this.timeline.to > before) {
      this.onarrive(this.timeline.messages.slice(before - this.timeline.to));
    }
    void this.#fillGap();
  }

  async #fillGap(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (let after = timelines.gap(this.timeline); after !== null; after = timelines.gap(this.timeline)) {
        const page = await api.after(this.id, after, GAP_PAGE);
        if (this.#stopped || page.length === 0) return;
        const before = this.timeline.to;
        this.#learnFrom(page);
        this.#set(timelines.receive(this.timeline, page, this.me?.id ?? null));
        if (this.timeline.to === before) return;
        this.onarrive(this.timeline.messages.slice(before - this.timeline.to));
      }
    } catch {
      // The next message or the next connection asks again.
    } finally {
      this.#filling = false;
    }
  }

  async #loadNewest(head: number): Promise<void> {
    const generation = ++this.#loadingPage;
    const page = head === 0 ? [] : await api.before(this.id, head + 1, PAGE);
    if (this.#stopped || generation !== this.#loadingPage) return;
    this.#learnFrom(page);
    this.#set(timelines.open(this.timeline, page, head, pasts.hasMore(page), this.me?.id ?? null));
    void this.#fillGap();
  }

  #url(): string {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const cursor = new URLSearchParams({ since: String(this.timeline.to), epoch: this.#epoch ?? '' });
    return `${scheme}://${location.host}/api/rooms/${encodeURIComponent(this.id)}/ws?${cursor}`;
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'message':
        this.#buffer.push(frame);
        this.#flush ??= setTimeout(() => this.#take(), FLUSH_MS);
        return;
      case 'hello':
        if (this.#epoch !== null && frame.epoch !== this.#epoch) this.#resync(frame.head_seq, frame.epoch);
        return;
      case 'resync':
        this.#resync(frame.head_seq, frame.epoch);
        return;
      case 'ack':
        this.#take();
        if (frame.client_id) this.#outbox.acked(frame.client_id, frame.id, frame.seq);
        return;
      case 'error':
        if (frame.client_id) this.#outbox.refused(frame.client_id, frame.error, frame.code);
        return;
      case 'presence':
        this.members = apply(this.members, frame, new Date().toISOString());
        this.#learn([frame.name]);
        return;
    }
  }

  #learn(names: Iterable<string>): void {
    const known = new Set(this.names);
    for (const name of names) if (known.size < MOST_KNOWN) known.add(name);
    if (known.size > this.names.length) this.names = [...known];
  }

  #learnFrom(messages: readonly Message[]): void {
    this.#learn(messages.map((message) => message.sender));
  }

  /** The cursor is void: loads the newest page again and goes on from there on the same connection. */
  #resync(head: number, epoch: string): void {
    this.#epoch = epoch;
    this.#buffer = [];
    this.past = null;
    this.#set(timelines.reset(this.timeline));
    this.#loadNewest(head).catch(() => this.#connection.restart());
  }

  #connected(state: LiveState): void {
    const before = this.live.kind;
    this.live = state;
    if (state.kind === 'over') {
      this.status = state.cause;
      return;
    }
    if (state.kind !== 'live' || before === 'live') return;
    void this.#loadPresence();
    void this.#fillGap();
    for (const pending of timelines.unconfirmed(this.timeline)) this.#outbox.send(pending);
  }

  async #probe(): Promise<Probe> {
    try {
      await api.room(this.id);
      return 'try';
    } catch (error) {
      if (!(error instanceof ApiError)) return 'try';
      if (error.status === 404 || error.status === 410) return 'gone';
      if (error.status === 401) return 'signed_out';
      return error.retryAfter === null ? 'try' : { retryAfter: error.retryAfter };
    }
  }

  async #loadPresence(): Promise<void> {
    try {
      const presence = await api.presence(this.id);
      if (this.#stopped) return;
      this.members = presence.members;
      this.#learn(presence.members.map((member) => member.name));
      this.watching = presence.watching;
    } catch {
      // Who is here is worth no error of its own; the next connection asks again.
    }
  }

  #refused(error: unknown): void {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) this.status = 'gone';
    else if (error instanceof ApiError && error.status === 401) this.status = 'signed_out';
    else this.status = 'failed';
    this.problem = explain(error);
  }

  #wake = (): void => {
    if (document.hidden) return;
    this.#connection.wake();
  };

  #set(timeline: Timeline): void {
    if (timeline === this.timeline) return;
    const changed = timeline.pending !== this.timeline.pending;
    this.timeline = timeline;
    if (changed && this.me) keepUnsent(perTab, this.id, this.me.id, timeline.pending);
  }

  #restoreUnsent(): void {
    // Opening may have been tried before: what is waiting already waits once.
    const waiting = new Set(this.timeline.pending.map((one) => one.client_id));
    for (const { client_id, content, reply_to, created_at } of readUnsent(perTab, this.id, this.me?.id)) {
      if (waiting.has(client_id)) continue;
      let next = timelines.send(this.timeline, { client_id, content, reply_to, created_at });
      // A recent one goes out again by itself; the server knows its id should it have come through.
      if (Date.now() - Date.parse(created_at) > RESEND_MS) {
        next = timelines.fail(next, client_id, 'The page was left before this was confirmed.', null);
      }
      this.#set(next);
    }
  }
}
