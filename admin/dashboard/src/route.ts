// The addresses of pages.

export interface Params { params: Record<string, string> }

// go opens a page, or changes its address without a new entry in the history.
export function go(page: string, params: Record<string, string | undefined> = {}, replace = false) {
  const words = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v) words.set(k, v);
  const hash = `#/${page}${words.size ? `?${words}` : ""}`;
  if (!replace) { location.hash = hash; return; }
  history.replaceState(null, "", hash);
}
