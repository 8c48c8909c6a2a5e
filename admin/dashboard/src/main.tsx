// The frame of the page: navigation, the state of the connection, problems, and one page below.

import { Fragment, h, render, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Undo } from "./actions";
import { ago, clock, words } from "./format";
import { Overview } from "./pages/overview";
import { Pools } from "./pages/pools";
import { Explain } from "./pages/explain";
import { ForecastPage } from "./pages/forecast";
import { Health } from "./pages/health";
import { Events } from "./pages/events";
import { Zones } from "./pages/zones";
import { Server } from "./pages/server";
import { troubles, type Trouble } from "./problems";
import { type Params } from "./route";
import { signIn, signOut, start, useStore, type Store } from "./store";
import { Field, Problem } from "./ui";

const pages: Record<string, [string, ComponentType<Params>]> = {
  overview: ["Overview", Overview], pools: ["Pools", Pools], explain: ["Explain", Explain], forecast: ["Forecast", ForecastPage],
  health: ["Health", Health], events: ["Events", Events], zones: ["Zones", Zones], server: ["Server", Server],
};

// parse reads the address of a page: #/pools?filter=web.
function parse(): [string, Record<string, string>] {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return [path in pages ? path : "overview", Object.fromEntries(new URLSearchParams(query))];
}

function useRoute(): [string, Record<string, string>] {
  const [at, set] = useState(parse);
  useEffect(() => {
    const change = () => set(parse());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return at;
}

function App() {
  const s = useStore();
  const [page, params] = useRoute();
  const [title, Page] = pages[page];
  const lost = s.lost !== undefined;
  useEffect(() => { document.title = `${lost ? "Disconnected · " : ""}${title} · Meridian`; }, [title, lost]);
  useEffect(() => document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [page]);
  if (s.refused) return <SignIn s={s} />;
  return <div class="frame">
    <a class="skip" href="#main" onClick={e => { e.preventDefault(); document.getElementById("main")!.focus(); }}>Skip to the content</a>
    <nav aria-label="Pages">
      <a class="brand" href="#/overview"><img src="icon.svg" alt="" width="20" height="20" />Meridian</a>
      <ul>{Object.entries(pages).map(([id, [name]]) => <li key={id}>
        <a href={`#/${id}`} aria-current={id === page ? "page" : undefined}>{name}</a>
      </li>)}</ul>
      <Who s={s} />
    </nav>
    <main id="main" tabIndex={-1} class={lost ? "stale" : ""}>
      <Connection s={s} />
      <Undo done={s.done} />
      <h1 class="sr">{title}</h1>
      <ProblemLine s={s} open={page === "overview"} />
      {s.status ? <Page params={params} /> : <p class="quiet pad">Connecting…</p>}
    </main>
  </div>;
}

function Who({ s }: { s: Store }) {
  if (!s.session) return null;
  return <p class="who">
    <span>{s.session.name}</span> <span class="quiet">{s.session.role}</span>
    {s.session.token && <button type="button" class="plain" onClick={signOut}>Sign out</button>}
  </p>;
}

function Connection({ s }: { s: Store }) {
  if (s.lost !== undefined && s.session) return <p class="notice bad lost" role="status"><strong>Disconnected since {clock(new Date(s.lost).toISOString())}.</strong> Everything below is of that time. Connecting again…</p>;
  if (s.lost !== undefined) return <p class="notice bad lost" role="status">The server does not answer. Connecting again…</p>;
  if (s.problem) return <p class="notice warn" role="status">{s.problem}</p>;
  return null;
}

const mostProblems = 5;

function ProblemLine({ s, open }: { s: Store; open: boolean }) {
  const [more, setMore] = useState(false);
  if (!s.status) return null;
  const all = troubles(s.status), worst = all[0];
  if (!worst) {
    const members = s.status.pools.reduce((n, p) => n + p.members.length, 0);
    return <section class="problems fine" aria-label="Problems" aria-live="polite"><strong>All healthy</strong> <span class="quiet">{words(s.status.pools.length, "pool")}, {words(members, "member")}</span></section>;
  }
  const shown = more ? all : all.slice(0, open ? mostProblems : 1);
  return <section class="problems" aria-label="Problems" aria-live="polite">
    <ul>{shown.map(t => <ProblemItem key={t.what} t={t} />)}</ul>
    {all.length > shown.length && <button type="button" class="plain" onClick={() => setMore(true)}>{words(all.length - shown.length, "more problem")}</button>}
    {more && <button type="button" class="plain" onClick={() => setMore(false)}>Show fewer</button>}
  </section>;
}

const tones = ["bad", "warn", "calm"];

function ProblemItem({ t }: { t: Trouble }) {
  const since = ago(t.since);
  return <li class={tones[t.rank]}>
    <svg viewBox="0 0 12 12" aria-hidden="true">{t.rank === 0 ? <path d="M1 2h10L6 11z" /> : t.rank === 1 ? <path d="M6 1l5.5 10H.5z" /> : <rect x="2" y="2" width="8" height="8" />}</svg>
    <div><strong>{t.what}</strong>{since && <span class="quiet"> for {since}</span>}
      <div class="effect">{t.effect}{t.help && <Fragment> <span class="quiet">Next: {t.help}</span></Fragment>}</div></div>
    <span class="links">
      {t.pool && <a href={`#/explain?pool=${encodeURIComponent(t.pool)}`}>Explain</a>}
      {t.link && <a href={t.link}>Show</a>}
    </span>
  </li>;
}

function SignIn({ s }: { s: Store }) {
  const [token, set] = useState("");
  return <main class="signin">
    <form onSubmit={e => { e.preventDefault(); signIn(token.trim()); }}>
      <h1><img src="icon.svg" alt="" width="24" height="24" /> Meridian</h1>
      <Problem error={sessionStorage.getItem("meridian-token") ? s.refused : null} />
      <Field label="Token"><input type="password" autocomplete="current-password" value={token} required onInput={e => set(e.currentTarget.value)} /></Field>
      <p class="quiet">It is one of admin.tokens, and is kept until this tab is closed.</p>
      <button type="submit" class="primary">Sign in</button>
    </form>
  </main>;
}

render(<App />, document.getElementById("app")!);
start();
