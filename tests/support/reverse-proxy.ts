/** A proxy as people put it before a server, and as wrong as they configure it. */
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";

export type ProxyHabits = {
  /** What it does to the headers of a request. */
  readonly inward?: (headers: IncomingHttpHeaders, client: string) => OutgoingHttpHeaders;
  /** What it does to the headers of an answer. */
  readonly outward?: (headers: IncomingHttpHeaders, path: string) => OutgoingHttpHeaders;
  /** Answers itself, where it answers anything. */
  readonly instead?: (method: string, path: string) => { readonly status: number; readonly text: string } | undefined;
};

export type ReverseProxy = AsyncDisposable & { readonly url: string; habits: ProxyHabits };

/** Where its connections to the server come from: another address of this machine than a client's. */
export const proxyAddress = "127.0.0.2";

export async function startReverseProxy(target: () => string, habits: ProxyHabits = {}): Promise<ReverseProxy> {
  const server = createServer((asked, answer) => {
    const { method = "GET", url = "/" } = asked;
    const { inward = (headers) => headers, outward = (headers) => headers, instead } = proxy.habits;
    const own = instead?.(method, url);
    if (own) return void answer.writeHead(own.status).end(own.text);
    const { hostname, port } = new URL(target());
    const client = asked.socket.remoteAddress?.replace("::ffff:", "") ?? "";
    const headers = inward({ ...asked.headers }, client);
    const passed = request(
      { host: hostname, port, method, path: url, headers, localAddress: proxyAddress, agent: false },
      (came) => {
        answer.writeHead(came.statusCode ?? 502, outward({ ...came.headers }, url));
        came.pipe(answer);
      },
    );
    passed.on("error", () => answer.writeHead(502).end("bad gateway"));
    return void asked.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const proxy: ReverseProxy = {
    url: `http://127.0.0.1:${port}`,
    habits,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
