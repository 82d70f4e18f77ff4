/** Controls of C0 and C1, and the marks that turn the direction of text: what could make a terminal show something else than what is there. */
// oxlint-disable-next-line no-control-regex -- controls are what this looks for
const unseen = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

const escaped = (character: string): string =>
  named[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** `text` on one line and without any control character, each shown as its escape. Data may come from strangers; a terminal obeys whatever it is sent. */
export function visible(text: string): string {
  return text.replace(unseen, escaped);
}

/** The same for text of several lines. */
export function visibleLines(text: string): string {
  return text.split("\n").map(visible).join("\n");
}

/** JSON that is safe on a terminal: `JSON.stringify` leaves DEL, the C1 controls and the direction marks as they are. */
export function visibleJson(value: unknown, indent?: number): string {
  const json = JSON.stringify(
    value,
    (_, member: unknown) => (typeof member === "bigint" ? String(member) : member),
    indent,
  );
  return (json ?? "null").replace(unseen, (character) => (character === "\n" ? character : escaped(character)));
}
