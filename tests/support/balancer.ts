/**
 * What a proxy does for several servers, as strictly as it may be done: it keeps connections, asks every server
 * whether it is ready, and sends a request to another one only where it was never taken. Written on bare sockets,
 * because `fetch` quietly sends a request again when its connection was closed.
 */
import { connect, type Socket } from "node:net";
import { firefoxAgent } from "./client.ts";

const betweenProbes = 100;

type Reply = { readonly status: number; readonly text: string };
export type Request = {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly bearer?: string;
};

class NeverTaken extends Error {}

/** One connection to one server, for one request at a time. */
class Line {
  readonly #socket: Socket;
  #received = "";
  #wake: () => void = () => {};
  isOpen = true;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      this.#received += text;
      this.#wake();
    });
    for (const end of ["close", "end", "error"]) {
      socket.on(end, () => {
        this.isOpen = false;
        this.#wake();
      });
    }
  }

  static async open(port: number): Promise<Line> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", () => reject(new NeverTaken("refused")));
    });
    return new Line(socket);
  }

  async send({ method, path, body, bearer }: Request): Promise<Reply> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const lines = [
      `${method} ${path} HTTP/1.1`,
      "Host: localhost",
      `User-Agent: ${firefoxAgent}`,
      ...(bearer === undefined ? [] : [`Authorization: Bearer ${bearer}`]),
      ...(text === "" ? [] : ["Content-Type: application/json"]),
      `Content-Length: ${Buffer.byteLength(text)}`,
    ];
    this.#socket.write(`${lines.join("\r\n")}\r\n\r\n${text}`);
    for (;;) {
      const reply = this.#take();
      if (reply) return reply;
      if (!this.isOpen) throw new Error("the connection was closed before the answer was whole");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The answer, once all of it has come. All bodies are short and of a known length. */
  #take(): Reply | undefined {
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return undefined;
    const head = this.#received.slice(0, headEnd);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const text = this.#received.slice(headEnd + 4);
    if (Buffer.byteLength(text) < length) return undefined;
    this.#received = "";
    if (/^connection: close$/im.test(head)) this.close();
    return { status: Number(head.slice(9, 12)), text };
  }

  close(): void {
    this.isOpen = false;
    this.#socket.destroy();
  }
}

type Backend = { readonly port: number; ready: boolean; turn: number; readonly idle: Line[] };

export class Balancer implements AsyncDisposable {
  readonly #backends: Backend[];
  readonly #probing: Promise<void[]>;
  #over = false;

  constructor(ports: readonly number[]) {
    this.#backends = ports.map((port) => ({ port, ready: true, turn: 0, idle: [] }));
    this.#probing = Promise.all(this.#backends.map((backend) => this.#probe(backend)));
  }

  async #probe(backend: Backend): Promise<void> {
    while (!this.#over) {
      backend.ready = await fetch(`http://127.0.0.1:${backend.port}/readyz`, { keepalive: false }).then(
        ({ ok }) => ok,
        () => false,
      );
      await Bun.sleep(betweenProbes);
    }
  }

  /** Sends it once. Another server is tried only where this one took no connection. */
  async send(request: Request): Promise<Reply> {
    const willing = this.#backends.toSorted((a, b) => Number(b.ready) - Number(a.ready) || a.turn - b.turn);
    for (const backend of willing) {
      backend.turn++;
      try {
        return await this.#sendTo(backend, request);
      } catch (error) {
        if (!(error instanceof NeverTaken)) throw error;
        backend.ready = false;
      }
    }
    throw new Error("no server takes requests");
  }

  async #sendTo(backend: Backend, request: Request): Promise<Reply> {
    let line = backend.idle.pop();
    while (line && !line.isOpen) line = backend.idle.pop();
    line ??= await Line.open(backend.port);
    const reply = await line.send(request);
    if (line.isOpen) backend.idle.push(line);
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#probing;
    for (const { idle } of this.#backends) for (const line of idle) line.close();
  }
}
