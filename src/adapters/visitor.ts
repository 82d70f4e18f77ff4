/** A browser as far as `doctor --outside` needs one. Where it goes is what the operator typed: no address is refused. */
import { connect } from "node:net";
import { CookieJar, PrefixSecurityEnum } from "tough-cookie";
import type { Visitor } from "../core/doctor/visitor.ts";

/** How long an answer may take, in milliseconds. */
const patience = 10_000;
/** More of an answer is not read, in characters. */
const longest = 2_000_000;

export type VisitorOptions = {
  /** Goes along with every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly noAnswer: (code: string) => Error;
  readonly now: () => Date;
};

export function createVisitor(origin: string, { headers: always, noAnswer, now }: VisitorOptions): Visitor {
  const jar = new CookieJar(undefined, {
    prefixSecurity: PrefixSecurityEnum.STRICT,
    rejectPublicSuffixes: true,
    allowSpecialUseDomain: true,
  });
  const urlOf = (path: string): string => new URL(path, origin).href;

  return {
    async ask(method, path, { headers = {}, body } = {}) {
      const url = urlOf(path);
      const cookies = await jar.getCookieString(url);
      try {
        const answer = await fetch(url, {
          method,
          redirect: "manual",
          keepalive: false,
          signal: AbortSignal.timeout(patience),
          headers: {
            ...always,
            ...headers,
            ...(cookies !== "" && { cookie: cookies }),
            ...(body && { "content-type": "application/json" }),
          },
          ...(body && { body: JSON.stringify(body) }),
        });
        return {
          status: answer.status,
          headers: new Map(answer.headers),
          setCookies: answer.headers.getSetCookie(),
          text: (await answer.text()).slice(0, longest),
          at: now(),
        };
      } catch (error) {
        throw noAnswer(codeOf(error));
      }
    },
    async keep(path, setCookies) {
      const url = urlOf(path);
      const refused: string[] = [];
      for (const line of setCookies) {
        const name = line.split("=", 1)[0] ?? "";
        const kept = await jar.setCookie(line, url, { ignoreError: false }).catch(() => undefined);
        // One that is taken away has an age of none, and is sent to nobody.
        if (line.split(";").some((part) => part.trim().toLowerCase() === "max-age=0")) continue;
        const sent = kept && (await jar.getCookies(urlOf(kept.path ?? "/")));
        if (!sent?.some(({ key }) => key === name)) refused.push(name);
      }
      return refused;
    },
    async cookie(path, name) {
      return (await jar.getCookies(urlOf(path))).find(({ key }) => key === name)?.value;
    },
    ends() {
      const { hostname, port, protocol } = new URL(origin);
      const { promise, resolve } = Promise.withResolvers<{ own: string; other: string } | undefined>();
      const host = hostname.replace(/^\[(.*)\]$/, "$1");
      const socket = connect({ host, port: Number(port) || (protocol === "https:" ? 443 : 80) });
      const done = (ends?: { own: string; other: string }): void => {
        resolve(ends);
        socket.destroy();
      };
      socket.setTimeout(patience, () => done());
      socket.once("error", () => done());
      socket.once("connect", () => {
        const { localAddress, remoteAddress } = socket;
        done(localAddress && remoteAddress ? { own: plain(localAddress), other: plain(remoteAddress) } : undefined);
      });
      return promise;
    },
  };
}

const plain = (address: string): string => address.replace(/^::ffff:/i, "");

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if (error.name === "TimeoutError") return "ETIMEDOUT";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
