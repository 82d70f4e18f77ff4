export type SetCookie = {
  readonly name: string;
  readonly value: string;
  /** By their names in lower case; one without a value is `""`. */
  readonly attributes: Readonly<Record<string, string>>;
};

export function readSetCookie(line: string): SetCookie {
  const [pair = "", ...rest] = line.split(";").map((part) => part.trim());
  const halves = (text: string): [string, string] => {
    const at = text.indexOf("=");
    return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  };
  const [name, value] = halves(pair);
  const attributes = rest.map(halves).map(([key, text]) => [key.toLowerCase(), text] as const);
  return { name, value, attributes: Object.fromEntries(attributes) };
}

/** As much of a browser's jar as our cookies need: names, paths, and forgetting (RFC 6265, section 5.3). */
export class CookieJar {
  /** A cookie of the same name on another path is another cookie. */
  readonly #cookies = new Map<string, SetCookie>();

  take(set: readonly SetCookie[]): void {
    for (const cookie of set) {
      const key = `${cookie.name} ${cookie.attributes["path"] ?? "/"}`;
      if (cookie.attributes["max-age"] === "0") this.#cookies.delete(key);
      else this.#cookies.set(key, cookie);
    }
  }

  headerFor(path: string): string {
    return [...this.#cookies.values()]
      .filter((cookie) => reaches(cookie.attributes["path"] ?? "/", path))
      .map((cookie) => `${cookie.name}=${cookie.value}`)
      .join("; ");
  }

  get(name: string): string | undefined {
    return [...this.#cookies.values()].find((one) => one.name === name)?.value;
  }

  get names(): string[] {
    return [...new Set([...this.#cookies.values()].map(({ name }) => name))].toSorted();
  }
}

const reaches = (scope: string, path: string): boolean =>
  path === scope || path.startsWith(scope.endsWith("/") ? scope : `${scope}/`);
