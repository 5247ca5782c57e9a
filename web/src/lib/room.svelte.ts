// One open room: its messages and who is there. It joins the pure timeline with the connection and the
// API; components read it and call it, and know of neither.

import type { ClientInfo } from 'centrifuge';
import * as activity from './activity';
import { api, ApiError, explain } from './api';
import { Again } from './backoff';
import { attend } from './call/attending';
import * as guard from './guard';
import { live, type Live, type Position } from './live';
import { MOST_KNOWN } from './mentions';
import { Outbox } from './outbox';
import * as pasts from './past';
import type { Past } from './past';
import { apply, type PresenceEvent } from './presence';
import { perTab } from './storage';
import * as timelines from './timeline';
import type { Timeline } from './timeline';
import type { AgentRules, CallEvent, CallParticipant, GuardEvent, Kind, Message, PresenceMember, Room, RoomEvent, User } from './types';
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
/** How soon the list of people is asked for again when it may be wrong, and how much later for each of them. */
const LOOK_MS = { least: 100, each: 10 };
/** How many notices of the room are kept, the newest ones. */
const MOST_NOTICES = 20;
/** The first wait, as `Again` counts, before what failed, though the server is there, is tried again. */
const AGAIN = 3;

/** In `guest` the reader is somebody else in this room, as whom the page of calls speaks. */
type Status = 'loading' | 'ready' | 'gone' | 'guest' | 'signed_out' | 'failed';

/** Something that happened here and is no message: it stands behind the message that was the last one then. */
export interface Notice {
  id: number;
  after: number;
  text: string;
}

/** An id that nobody else makes; `randomUUID` is missing on pages that came over plain http. */
function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether a refusal says that the room, or the session, is not there any more. */
function isFinal(error: unknown): error is ApiError {
  return error instanceof ApiError && [401, 404, 410].includes(error.status);
}

/** The more people see the same, the less all of them may ask at once. */
const spread = (people: number) => LOOK_MS.least + LOOK_MS.each * people * Math.random();

export class OpenRoom {
  readonly id: string;
  readonly me: User | null;
  room = $state.raw<Room | null>(null);
  status = $state<Status>('loading');
  problem = $state('');
  timeline = $state.raw<Timeline>(timelines.empty);
  /** What is shown instead of the timeline while the reader is far back. */
  past = $state.raw<Past | null>(null);
  /** Whether messages come by themselves now. */
  live = $state(false);
  members = $state.raw<readonly PresenceMember[]>([]);
  watching = $state(0);
  /** Who is in the room's call, as far as the server was asked or told. */
  inCall = $state.raw<readonly CallParticipant[]>([]);
  loadingOlder = $state(false);
  /** What agents may say here, as the server said last and counted on since. */
  rules = $state.raw<AgentRules | undefined>(undefined);
  notices = $state.raw<readonly Notice[]>([]);
  /** What some here say that they are doing. */
  lines = $state.raw<readonly activity.Line[]>([]);
  /** Every name seen here, for mentions. */
  names = $state.raw<readonly string[]>([]);
  /** Called with messages that came while the room was open. */
  onarrive: (messages: readonly Message[]) => void = () => undefined;
  /** Called when the room's channel says what agents may say now, after the message `head`. */
  onrules: (rules: AgentRules, head: number) => void = () => undefined;

  #connection: Live;
  #leave: () => void = () => undefined;
  #epoch = '';
  /** The last message that the server spoke of. */
  #head = 0;
  #outbox: Outbox;
  #buffer: Message[] = [];
  #flush: ReturnType<typeof setTimeout> | undefined;
  #presence: ReturnType<typeof setInterval> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  /** What failed and is tried again, each by itself. */
  #again = { gap: new Again(AGAIN), anew: new Again(AGAIN), join: new Again(AGAIN) };
  /** How often somebody came, went or changed. */
  #moves = 0;
  /** How often somebody came into the call or left it. */
  #calls = 0;
  #ask: unknown;
  /** The last message that `rules` count. */
  #counted = 0;
  #notice = 1;
  #lasting: ReturnType<typeof setTimeout> | undefined;
  #filling = false;
  #loadingPage = 0;
  #loading: Promise<void> | null = null;
  #stopped = false;

  constructor(id: string, me: User | null, known: Room | undefined, connection = live) {
    this.id = id;
    this.me = me;
    this.#connection = connection;
    this.room = known ?? null;
    if (me) this.names = [me.name];
    this.#outbox = new Outbox({
      post: (clientId, message, signal) => api.post(this.id, clientId, message, signal),
      body: (pending) => ({
        content: pending.content,
        ...(this.me ? { sender: this.me.name, sender_type: 'human' as const } : {}),
        ...(pending.reply_to === null ? {} : { reply_to: pending.reply_to }),
      }),
      onstored: (clientId, message) => {
        this.#set(timelines.confirm(this.timeline, clientId, message.id, message.seq));
        // While nothing comes by itself, the answer brings it, and what stands before it is asked for.
        if (!this.live) this.#hear(message);
      },
      onfailed: (clientId, error, retryAt) => this.#set(timelines.fail(this.timeline, clientId, error, retryAt)),
    });
  }

  async open(): Promise<void> {
    try {
      this.room ??= await api.room(this.id);
      this.#epoch = this.room.epoch;
      this.#restoreUnsent();
      await this.#loadNewest(this.room.head_seq);
      this.heed(this.room);
      if (this.#stopped) return;
      this.status = 'ready';
      this.#resend();
      this.#join();
      void this.#loadPresence();
      this.#presence = setInterval(() => {
        if (!document.hidden) void this.#loadPresence();
      }, PRESENCE_MS);
    } catch (error) {
      if (!this.#stopped) this.#refused(error);
    }
  }

  close(): void {
    this.#stopped = true;
    this.#leave();
    this.#outbox.stop();
    clearTimeout(this.#flush);
    clearTimeout(this.#look);
    clearTimeout(this.#lasting);
    for (const again of Object.values(this.#again)) again.cancel();
    clearInterval(this.#presence);
  }

  /** Takes what the server says of the room's agents, with its messages up to the room's head counted. */
  heed({ agents, head_seq }: Room): void {
    this.rules = agents;
    this.#counted = head_seq;
    this.#count();
  }

  /** Tries the connection now instead of waiting. */
  reconnect(): void {
    this.#connection.wake();
    this.#outbox.wake();
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
      const page = await api.after(this.id, past.messages.at(-1)!.seq, PAGE, this.#epoch);
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
    this.#arrived(before);
    void this.#fillGap();
  }

  /** Messages came behind the one that was the last before. */
  #arrived(before: number): void {
    if (this.timeline.to === before) return;
    const messages = this.timeline.messages.slice(before - this.timeline.to);
    this.#count();
    this.lines = activity.spoken(this.lines, messages.map((message) => message.user));
    this.onarrive(messages);
  }

  #count(): void {
    const { to, messages } = this.timeline;
    if (!this.rules || to <= this.#counted) return;
    this.rules = guard.after(this.rules, messages.slice(Math.max(-messages.length, this.#counted - to)));
    this.#counted = to;
  }

  async #fillGap(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    const generation = this.#loadingPage;
    try {
      for (let after = this.#gap(); after !== null; after = this.#gap()) {
        const page = await api.after(this.id, after, GAP_PAGE, this.#epoch);
        if (this.#stopped || generation !== this.#loadingPage || page.length === 0) return;
        const before = this.timeline.to;
        this.#learnFrom(page);
        this.#set(timelines.receive(this.timeline, page, this.me?.id ?? null));
        if (this.timeline.to === before) return;
        this.#arrived(before);
      }
      this.#again.gap.done();
    } catch (error) {
      if (generation === this.#loadingPage) this.#failed('gap', error, () => this.#fillGap());
    } finally {
      this.#filling = false;
      if (generation !== this.#loadingPage) void this.#fillGap();
    }
  }

  #gap(): number | null {
    return this.#stopped ? null : timelines.gap(this.timeline, this.#head);
  }

  /** Tries a job once more later, unless it failed for good and everything with it. */
  #failed(job: 'gap' | 'anew' | 'join', error: unknown, what: () => unknown): void {
    if (this.#stopped) return;
    if (!isFinal(error)) return this.#again[job].later(what);
    this.close();
    // Who never had a session loses the room, not the session.
    this.status = error.status === 401 && this.me ? 'signed_out' : 'gone';
  }

  async #loadNewest(head: number): Promise<void> {
    const generation = ++this.#loadingPage;
    const page = head === 0 ? [] : await api.before(this.id, head + 1, PAGE);
    if (this.#stopped || generation !== this.#loadingPage) return;
    this.#learnFrom(page);
    this.#set(timelines.open(this.timeline, page, head, pasts.hasMore(page), this.me?.id ?? null));
    void this.#fillGap();
  }

  #join(): void {
    this.#leave = this.#connection.join(this.id, {
      position: () => ({ offset: this.timeline.to, epoch: this.#epoch }),
      onbegin: (position, recovered) => this.#begin(position, recovered),
      onbreak: () => (this.live = false),
      onpublication: (data) => this.#hear(data as RoomEvent),
      onjoin: (who) => this.#meet({ event: 'join', user: who.user, ...(who.connInfo as { name: string; kind: Kind }) }),
      onleave: ({ user }: ClientInfo) => this.#meet({ event: 'leave', user }),
      onend: (again) => void this.#ended(again),
      onguest: () => {
        this.close();
        this.status = 'guest';
      },
      onover: () => this.close(),
    });
  }

  #begin(position: Position, recovered: boolean): void {
    const missing = timelines.missing(this.timeline, this.#epoch, position, recovered);
    this.#epoch = position.epoch;
    this.#head = position.offset;
    // A timeline that could not be loaded is not gone on from.
    if (missing === 'all' || !this.timeline.loaded) this.#reset();
    else void this.#fillGap();
    this.#again.join.done();
    this.live = true;
    void this.#loadPresence();
    this.#resend();
    this.#outbox.wake();
  }

  #hear(event: RoomEvent): void {
    if (event.type === 'presence') {
      this.#meet(event);
    } else if (event.type === 'call') {
      this.#attend(event);
    } else if (event.type === 'guard') {
      this.#guarded(event);
    } else if (event.type === 'log') {
      // What its author said before stands before it.
      this.#take();
      this.lines = activity.heard(this.lines, event, Date.now());
      this.#lasting ??= setTimeout(() => this.#expire(), 1000);
    } else if (event.type === 'message') {
      this.#buffer.push(event);
      this.#flush ??= setTimeout(() => this.#take(), FLUSH_MS);
    }
  }

  #meet(event: PresenceEvent): void {
    this.#moves += 1;
    const { members, doubtful } = apply(this.members, event, new Date().toISOString());
    this.members = members;
    if ('name' in event) this.#learn([event.name]);
    if (doubtful) this.#lookSoon();
  }

  /** Those that were told before it are shown before it. */
  #guarded(event: GuardEvent): void {
    this.#take();
    this.rules = event.agents;
    this.#counted = this.timeline.to;
    this.notices = [...this.notices, { id: this.#notice++, after: this.timeline.to, text: guard.told(event) }].slice(-MOST_NOTICES);
    this.onrules(event.agents, this.timeline.to);
  }

  /** Lets go of what was told a while ago, and looks again as long as something is left. */
  #expire(): void {
    this.lines = activity.lasting(this.lines, Date.now());
    this.#lasting = this.lines.length > 0 ? setTimeout(() => this.#expire(), 1000) : undefined;
  }

  #attend(event: CallEvent): void {
    this.#calls += 1;
    const { participants, doubtful } = attend(this.inCall, event, new Date().toISOString());
    this.inCall = participants;
    // What comes while the list is asked for is asked about by the same.
    if (doubtful) this.#ask ??= setTimeout(() => void this.loadCall().then(() => (this.#ask = undefined)), spread(this.members.length));
  }

  /** Asks who is in the call: the room's channel tells what comes after. */
  async loadCall(): Promise<void> {
    for (let calls = -1; calls !== this.#calls && !this.#stopped; ) {
      // What happened while the list was under way may be missing in it.
      calls = this.#calls;
      const details = await api.room(this.id).catch(() => null);
      if (details && calls === this.#calls) this.inCall = details.call?.participants ?? [];
    }
  }

  #lookSoon(): void {
    this.#look ??= setTimeout(() => void this.#loadPresence(), spread(this.members.length));
  }

  #learn(names: Iterable<string>): void {
    const known = new Set(this.names);
    for (const name of names) if (known.size < MOST_KNOWN) known.add(name);
    if (known.size > this.names.length) this.names = [...known];
  }

  #learnFrom(messages: readonly Message[]): void {
    this.#learn(messages.map((message) => message.sender));
  }

  /** What is shown is of another time of the room: loads the newest page and goes on from there. */
  #reset(): void {
    this.#buffer = [];
    this.past = null;
    this.notices = [];
    this.#set(timelines.reset(this.timeline));
    void this.#loadAnew();
  }

  async #loadAnew(): Promise<void> {
    if (this.timeline.loaded) return;
    try {
      await this.#loadNewest(this.#head);
      this.#again.anew.done();
    } catch (error) {
      this.#failed('anew', error, () => this.#loadAnew());
    }
  }

  /** Sends what is not confirmed once more, oldest first. */
  #resend(): void {
    for (const pending of timelines.unconfirmed(this.timeline)) this.#outbox.send(pending);
  }

  /** The server lets this reader listen no more: says why, or asks once more when nothing speaks against it. */
  async #ended(again: () => void): Promise<void> {
    const refused = await api.room(this.id).catch((error: unknown) => error);
    this.#failed('join', refused, again);
  }

  async #loadPresence(): Promise<void> {
    clearTimeout(this.#look);
    this.#look = undefined;
    const moves = this.#moves;
    try {
      const presence = await api.presence(this.id);
      if (this.#stopped) return;
      // What happened while the list was under way may be missing in it.
      if (moves !== this.#moves) this.#lookSoon();
      this.members = presence.members;
      this.#learn(presence.members.map((member) => member.name));
      this.watching = presence.watching;
    } catch {
      // Who is here is worth no error of its own; the next connection asks again.
    }
  }

  #refused(error: unknown): void {
    if (!isFinal(error)) this.status = 'failed';
    else this.status = error.status === 401 ? 'signed_out' : 'gone';
    this.problem = explain(error);
  }

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
