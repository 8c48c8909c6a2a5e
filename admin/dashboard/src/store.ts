// The data that all pages share, and how it stays current: one stream of events says when to ask
// again; nothing is asked while the page is hidden.

import { useEffect, useState } from "preact/hooks";
import * as api from "./api";

export interface Store {
  session?: api.Session;
  status?: api.Status;
  regions: api.Region[];
  stats?: api.Stats;
  flow?: api.Forecast; // from all healthy to now
  noFlow?: boolean; // there is no forecast: no name is bound to a pool, or the server is busy
  answers?: api.Answers; // of the last minutes
  events: api.Event[]; // the newest first
  lost?: number; // disconnected since
  refused?: api.ApiError; // no or wrong token
  done?: Done; // the last action of this page, for a while
  problem?: string; // the last failed request, while connected
}

// Done is an action of this page.
export interface Done { text: string; target?: string } // no target: it cannot be undone

let store: Store = { regions: [], events: [] };
const listeners = new Set<() => void>();

function set(change: Partial<Store>) {
  store = { ...store, ...change };
  for (const l of listeners) l();
}

// useStore renders the component again at every change of the data.
export function useStore(): Store {
  const [, again] = useState({}), shown = store;
  useEffect(() => {
    const l = () => again({});
    listeners.add(l);
    if (store !== shown) l(); // it changed before the listener was there
    return () => { listeners.delete(l); };
  }, []);
  return store;
}

export const isAdmin = (s: Store) => s.session?.role === "admin";
export const canOperate = (s: Store) => !!s.session && s.session.role !== "viewer";

// mostDetailed is the number of members up to which the page asks for every probe result.
const mostDetailed = 300;
const moreEvents = 500; // in one request
let mostEvents = moreEvents;

let detail: "address" | "member" = "member";

async function refreshStatus() {
  let status = await api.get<api.Status>("/v1/status", { detail });
  const members = status.pools.reduce((n, p) => n + p.members.length, 0), old = detail;
  detail = members <= mostDetailed ? "address" : "member";
  if (old === "member" && detail === "address") status = await api.get("/v1/status", { detail });
  set({ status });
}

async function refreshFlow() {
  try {
    set({ flow: await api.forecast({ from: "healthy" }), noFlow: false });
  } catch (e) {
    if (!(e instanceof api.ApiError) || e.status === 401) throw e;
    set({ flow: undefined, noFlow: true });
  }
}

async function refresh(all: boolean) {
  try {
    await refreshStatus();
    set({ stats: await api.get<api.Stats>("/v1/stats"), answers: await api.get<api.Answers>("/v1/answers") });
    if (all) {
      set({ regions: (await api.get<{ regions: api.Region[] }>("/v1/regions")).regions });
      await refreshFlow();
    }
    set({ problem: undefined });
  } catch (e) {
    if (e instanceof api.ApiError) set(e.status === 401 ? { refused: e } : { problem: e.message });
  }
}

let pending: Promise<void> | undefined;
let again: "no" | "some" | "all" = "no";

// update asks for everything again, one round at a time.
export function update(all = true): Promise<void> {
  if (pending) {
    again = all || again === "all" ? "all" : "some";
    return pending;
  }
  pending = refresh(all).finally(() => {
    pending = undefined;
    if (again !== "no") {
      const next = again === "all";
      again = "no";
      return update(next);
    }
    return undefined;
  });
  return pending;
}

const undoTime = 30_000;
let forget: ReturnType<typeof setTimeout> | undefined;

// announce shows an action that can be undone, for a while; undefined: none.
export function announce(done?: Done) {
  clearTimeout(forget);
  set({ done });
  if (done) forget = setTimeout(() => set({ done: undefined }), undoTime);
}

const pause = (ms: number) => new Promise(done => setTimeout(done, ms));
const visible = () => new Promise<void>(done => {
  if (!document.hidden) return done();
  const check = () => { if (!document.hidden) { document.removeEventListener("visibilitychange", check); done(); } };
  document.addEventListener("visibilitychange", check);
});

let due: ReturnType<typeof setTimeout> | undefined;

function arrived(e: api.Event) {
  if (store.events.some(old => old.id === e.id)) return;
  set({ events: [e, ...store.events].sort((a, b) => b.id - a.id).slice(0, mostEvents) });
  due ??= setTimeout(() => { due = undefined; void update(); }, 300);
}

// olderEvents adds the events before the oldest known one; it returns false if there are none.
export async function olderEvents(): Promise<boolean> {
  const first = store.events.at(-1)?.id ?? 1, since = Math.max(0, first - 1 - moreEvents);
  const { events } = await api.get<{ events: api.Event[] }>("/v1/events", { since: String(since), limit: String(moreEvents) });
  const older = events.filter(e => e.id < first).reverse();
  mostEvents = Math.max(mostEvents, store.events.length + older.length);
  set({ events: [...store.events, ...older] });
  return older.length > 0 && since > 0;
}

// follow keeps the events current for ever: it connects again with a growing pause.
async function follow() {
  for (let wait = 500; ; wait = Math.min(2 * wait, 10_000)) {
    await visible();
    try {
      const session = await api.get<api.Session>("/v1/session");
      const old = store.session;
      if (old && (old.version !== session.version || old.name !== session.name)) location.reload();
      const { events } = await api.get<{ events: api.Event[] }>("/v1/events", { limit: String(mostEvents) });
      set({ session, refused: undefined, events: events.reverse() });
      await update();
      const since = String(store.events[0]?.id ?? 0);
      await api.stream("/v1/events/stream", { since }, () => { set({ lost: undefined }); wait = 500; }, arrived);
    } catch (e) {
      if (e instanceof api.ApiError && e.status === 401) {
        set({ refused: e, lost: undefined });
        return;
      }
    }
    set({ lost: store.lost ?? Date.now() });
    await pause(wait);
  }
}

const interval = 5_000;

async function poll() {
  for (;;) {
    await pause(interval);
    await visible();
    if (store.lost === undefined && !store.refused && store.session) await update(false);
  }
}

// start begins to keep the data current.
export function start() {
  void follow();
  void poll();
}

// signIn tries a token.
export function signIn(token: string) {
  api.setToken(token);
  set({ refused: undefined });
  void follow();
}

export function signOut() {
  api.setToken("");
  location.reload();
}
