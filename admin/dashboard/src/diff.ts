// The difference of two texts, by line.

export interface Line { mark: " " | "-" | "+" | "@"; text: string }

const mostCells = 4_000_000; // of the table that finds the longest common part: beyond it, all differing lines are replaced
const around = 3; // equal lines shown before and after a change

// diff returns the changed lines from one text to another, with some equal lines around them.
export function diff(before: string, after: string): Line[] {
  const a = before.split("\n"), b = after.split("\n");
  let head = 0, tail = 0;
  while (head < Math.min(a.length, b.length) && a[head] === b[head]) head++;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const equal = (text: string): Line => ({ mark: " ", text });
  return folded([
    ...a.slice(0, head).map(equal),
    ...changed(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(equal),
  ]);
}

// changed compares lines by their longest common subsequence.
function changed(a: string[], b: string[]): Line[] {
  if ((a.length + 1) * (b.length + 1) > mostCells) return [...a.map(text => ({ mark: "-" as const, text })), ...b.map(text => ({ mark: "+" as const, text }))];
  const wide = b.length + 1, common = new Uint32Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * wide + j] = a[i] === b[j] ? common[(i + 1) * wide + j + 1] + 1 : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
    }
  }
  const all: Line[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) { all.push({ mark: " ", text: a[i++] }); j++; }
    else if (j === b.length || i < a.length && common[(i + 1) * wide + j] >= common[i * wide + j + 1]) all.push({ mark: "-", text: a[i++] });
    else all.push({ mark: "+", text: b[j++] });
  }
  return all;
}

// folded leaves out equal lines far from a change.
function folded(all: Line[]): Line[] {
  const near = (i: number) => all.slice(Math.max(0, i - around), i + around + 1).some(l => l.mark !== " ");
  const shown: Line[] = [];
  for (let i = 0; i < all.length; i++) {
    if (near(i)) shown.push(all[i]);
    else if (shown.length && shown.at(-1)!.mark !== "@") shown.push({ mark: "@", text: "" });
  }
  if (shown.at(-1)?.mark === "@") shown.pop();
  return shown;
}
