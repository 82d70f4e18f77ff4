/** Command lines of others, as a shell runs them: by bash, with the real curl. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "./client.ts";
import { readSetCookie } from "./cookie-jar.ts";
import { curlProgram } from "./services.ts";

await curlProgram();

/** Where lines are typed one after the other: what one leaves in a file, such as cookies, is there for the next. */
export class Terminal implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "authctl-curl-"));
  readonly #server: { readonly url: string };

  constructor(server: { readonly url: string }) {
    this.#server = server;
  }

  /** Types a line that has one `curl` in it. Its words stay as they are, but for the port that the server listens on. */
  async type<T>(line: string): Promise<Answer<T>> {
    const [head, body] = [join(this.#directory, "answer.head"), join(this.#directory, "answer.body")];
    for (const file of [head, body]) rmSync(file, { force: true });
    const here = line.replaceAll(/\b(localhost|127\.0\.0\.1):8000\b/g, `$1:${new URL(this.#server.url).port}`);
    // Where the answer goes is all that is added; nobody's `.curlrc` and no proxy take part.
    const script = `curl() { command curl -q -sS -D answer.head -o answer.body "$@"; }\n${here}`;
    const child = Bun.spawn(["bash", "-c", script], {
      cwd: this.#directory,
      env: { PATH: process.env["PATH"] ?? "" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [complaint, code] = await Promise.all([child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`exit code ${code}: ${complaint}`);
    return answerOf(readFileSync(head, "utf8"), existsSync(body) ? readFileSync(body, "utf8") : "");
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function answerOf<T>(head: string, text: string): Answer<T> {
  const [status = "", ...fields] = head.trim().split("\r\n");
  const headers = new Headers(
    fields.map((one): [string, string] => [one.slice(0, one.indexOf(":")), one.slice(one.indexOf(":") + 1).trim()]),
  );
  const isJson = text !== "" && /json/.test(headers.get("content-type") ?? "");
  return {
    status: Number(status.split(" ")[1]),
    headers,
    text,
    body: (isJson ? JSON.parse(text) : undefined) as T,
    cookies: headers.getSetCookie().map(readSetCookie),
  };
}
