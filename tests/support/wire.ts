import { connect } from "node:net";

/** One request as it stands, byte for byte, and all that comes back until the server hangs up. */
export function sendRaw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let heard = "";
  const socket = connect(Number(port), hostname, () => void socket.write(text, "latin1"));
  socket.on("data", (data) => (heard += data.toString("latin1")));
  socket.on("error", reject);
  socket.on("close", () => resolve(heard));
  return promise;
}

/** A request line with the headers that every request needs, for one that the server hangs up after. */
export const bare = (line: string, ...headers: string[]): string =>
  [`${line} HTTP/1.1`, "Host: localhost", "Connection: close", ...headers, "", ""].join("\r\n");
