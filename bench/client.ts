/**
 * HTTP over bare sockets: a client that costs so little that the server is the busy one. A closed loop: each
 * connection sends its next request when it has the answer to the last one. Knows answers with a Content-Length.
 */

export type Answer = { readonly status: number; readonly head: string; readonly body: string };

export type Work = {
  /** The next request of this connection; `undefined` where it has nothing more to ask. */
  next(connection: number): Buffer | undefined;
  /** Whether the answer to it is right. */
  take(connection: number, answer: Answer): boolean;
};

export type Driven = {
  readonly answered: number;
  readonly wrong: number;
  readonly firstWrong: string | undefined;
  readonly seconds: number;
};

/** What a browser says of itself. Sessions are given to it, and so it has to stay the same. */
export const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";

/** After which a server is taken to have fallen silent, in milliseconds: longer than anybody stops a process for. */
const patience = 240_000;

export function request(
  method: "GET" | "POST",
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: object,
): Buffer {
  const content = body === undefined ? "" : JSON.stringify(body);
  const described = {
    Host: "localhost",
    "User-Agent": agent,
    ...headers,
    ...(body && { "Content-Type": "application/json" }),
    ...(method === "POST" && { "Content-Length": Buffer.byteLength(content) }),
  };
  const lines = Object.entries(described).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${content}`);
}

/** `undefined` as long as not all of it is there. */
function parse(text: string): Answer | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = text.slice(0, end);
  const status = Number(text.slice(9, 12));
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? (status === 204 ? 0 : undefined);
  if (length === undefined) throw new Error(`an answer without a Content-Length: ${head}`);
  const body = text.slice(end + 4);
  return body.length < Number(length) ? undefined : { status, head, body };
}

/** Does the work, for so long or until it has come to its end. */
export async function drive(
  port: number,
  work: Work,
  { connections, seconds = Number.POSITIVE_INFINITY }: { readonly connections: number; readonly seconds?: number },
): Promise<Driven> {
  let [answered, wrong, seen] = [0, 0, 0];
  let firstWrong: string | undefined;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (answered + wrong === seen) reject(new Error("the server has fallen silent"));
    seen = answered + wrong;
  }, patience);

  const begin = async (connection: number) => {
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let text = "";
    let isOver = false;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(_, chunk) {
          text += chunk.toString("latin1");
          const answer = parse(text);
          if (!answer) return;
          text = "";
          if (work.take(connection, answer)) answered++;
          else {
            wrong++;
            firstWrong ??= `${answer.status} ${answer.body.slice(0, 300)}`;
          }
          step();
        },
        close: () => (isOver ? undefined : reject(new Error("the server closed a connection"))),
        error: (_, error) => reject(error),
      },
    });
    const step = () => {
      const asked = performance.now() < end ? work.next(connection) : undefined;
      if (asked) {
        if (socket.write(asked) < asked.length) reject(new Error("a request did not fit into the socket"));
        return;
      }
      isOver = true;
      socket.end();
      resolve();
    };
    return { step, done };
  };

  let end = Number.POSITIVE_INFINITY;
  try {
    const all = await Promise.race([Promise.all(Array.from({ length: connections }, (_, at) => begin(at))), failed]);
    const began = performance.now();
    end = began + seconds * 1000;
    for (const { step } of all) step();
    await Promise.race([Promise.all(all.map(({ done }) => done)), failed]);
    return { answered, wrong, firstWrong, seconds: (performance.now() - began) / 1000 };
  } finally {
    clearInterval(timer);
  }
}

/** One request. */
export async function ask(port: number, asked: Buffer): Promise<Answer> {
  let left: Buffer | undefined = asked;
  let given: Answer | undefined;
  const work: Work = {
    next: () => {
      const now = left;
      left = undefined;
      return now;
    },
    take: (_, answer) => {
      given = answer;
      return true;
    },
  };
  await drive(port, work, { connections: 1 });
  return given!;
}

/** These requests, one after the other over all connections: `once`, or again and again. */
export function inTurn(
  requests: readonly Buffer[],
  isRight: (answer: Answer, at: number) => boolean,
  { once = false } = {},
): Work {
  const asked: number[] = [];
  let sent = 0;
  return {
    next(connection) {
      if (once && sent >= requests.length) return undefined;
      const at = sent++ % requests.length;
      asked[connection] = at;
      return requests[at];
    },
    take: (connection, answer) => isRight(answer, asked[connection]!),
  };
}
