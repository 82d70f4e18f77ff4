/** A real mail server on the loopback, that answers as it is told, and reads what it is sent. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";

/** A mail as it arrived. */
export type Arrived = {
  readonly from: string;
  /** Whom the envelope named. */
  readonly recipients: readonly string[];
  readonly secure: boolean;
  readonly user: string | undefined;
  readonly raw: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly html: string;
};

export type MailServer = {
  readonly port: number;
  readonly url: string;
  readonly arrived: Arrived[];
  /** How many connections there have been. */
  readonly connections: number;
  /** What the next commands are answered with; `undefined` takes them. */
  answers: { recipient?: Refusal | undefined; content?: Refusal | undefined; login?: Refusal | undefined };
  /** Called with each mail before it is taken: the mail server takes its time. */
  beforeTaking: () => Promise<void> | void;
  stop(): Promise<void>;
};

export type Refusal = { readonly code: number; readonly words: string };

export type Certificate = { readonly key: string; readonly cert: string; readonly file: string; remove(): void };

/** For `localhost`, signed by itself. */
export function makeCertificate(): Certificate {
  const directory = mkdtempSync(join(tmpdir(), "authctl-certificate-"));
  const [key, file] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  const names = ["-addext", "subjectAltName=DNS:localhost"];
  const words = ["openssl", ...request.split(" "), ...names, "-keyout", key, "-out", file];
  const { success } = Bun.spawnSync(words, { stdout: "ignore", stderr: "ignore" });
  if (!success) throw new Error("openssl made no certificate");
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return { key: readFileSync(key, "utf8"), cert: readFileSync(file, "utf8"), file, remove };
}

type Wanted = { readonly port?: number; readonly certificate?: Certificate; readonly password?: string };

/** With a certificate it offers STARTTLS, with a password it wants the user `mailer` to have it. */
export async function startMailServer({ port = 0, certificate, password }: Wanted = {}): Promise<MailServer> {
  const arrived: Arrived[] = [];
  let connections = 0;
  const error = ({ code, words }: Refusal) => Object.assign(new Error(words), { responseCode: code });
  const take = async (...[stream, session, done]: Parameters<Required<SMTPServerOptions>["onData"]>): Promise<void> => {
    const chunks = await Array.fromAsync<Buffer>(stream).catch(() => undefined);
    // A client that was cut off in the midst has sent nothing.
    if (!chunks) return;
    const raw = Buffer.concat(chunks).toString("utf8");
    if (server.answers.content) return done(error(server.answers.content));
    await server.beforeTaking();
    const { envelope, secure, user } = session;
    arrived.push({
      from: envelope.mailFrom ? envelope.mailFrom.address : "",
      recipients: envelope.rcptTo.map((one) => one.address),
      secure,
      user: typeof user === "string" ? user : undefined,
      raw,
      ...read(raw),
    });
    return done();
  };
  const options: SMTPServerOptions = {
    logger: false,
    disableReverseLookup: true,
    // Whoever still holds a connection is cut off.
    closeTimeout: 10,
    ...(certificate ? { key: certificate.key, cert: certificate.cert } : { hideSTARTTLS: true }),
    ...(password === undefined ? { authOptional: true } : {}),
    onConnect: (_, done) => {
      connections++;
      done();
    },
    onAuth: (given, _, done) => {
      if (server.answers.login) return done(error(server.answers.login));
      const isRight = given.username === "mailer" && given.password === password;
      return isRight ? done(null, { user: "mailer" }) : done(error({ code: 535, words: "no" }));
    },
    onRcptTo: (_, __, done) => done(server.answers.recipient && error(server.answers.recipient)),
    onData: (stream, session, done) => void take(stream, session, done),
  };
  const smtp = new SMTPServer(options);
  // A client that is killed in the midst is no trouble of ours.
  smtp.on("error", () => {});
  await new Promise<void>((resolve) => smtp.listen(port, "127.0.0.1", () => resolve()));
  const address = smtp.server.address();
  const listening = typeof address === "object" && address ? address.port : port;
  const server: MailServer = {
    port: listening,
    url: `smtp://localhost:${listening}`,
    arrived,
    get connections() {
      return connections;
    },
    answers: {},
    beforeTaking: () => {},
    stop: () => new Promise<void>((resolve) => smtp.close(() => resolve())),
  };
  return server;
}

/** What a mail program would make of it. */
function read(raw: string): Pick<Arrived, "headers" | "text" | "html"> {
  const top = partOf(raw);
  const boundary = /boundary="([^"]+)"/.exec(top.headers.get("content-type") ?? "")?.[1];
  const parts =
    boundary === undefined
      ? [top]
      : raw
          .split(`--${boundary}`)
          .slice(1, -1)
          .map((part) => partOf(part.trimStart()));
  const body = (type: string) =>
    parts.find((part) => part.headers.get("content-type")?.startsWith(type))?.body.trimEnd() ?? "";
  return { headers: top.headers, text: body("text/plain"), html: body("text/html") };
}

function partOf(text: string): { headers: Map<string, string>; body: string } {
  const end = text.indexOf("\r\n\r\n");
  const lines = text
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, " ")
    .split("\r\n");
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), decodeWords(line.slice(colon + 1).trim())] as const;
    }),
  );
  const encoding = headers.get("content-transfer-encoding");
  const body = text.slice(end + 4);
  return { headers, body: decode(body, encoding).replaceAll("\r\n", "\n") };
}

function decode(body: string, encoding: string | undefined): string {
  if (encoding === "base64") return Buffer.from(body, "base64").toString("utf8");
  if (encoding !== "quoted-printable") return body;
  return quoted(body.replace(/=\r\n/g, ""));
}

const quoted = (text: string): string =>
  Buffer.from(
    text.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  ).toString("utf8");

/** RFC 2047. */
function decodeWords(text: string): string {
  const word = /=\?utf-8\?([bq])\?([^?]*)\?=(?:\s+(?==\?))?/gi;
  return text.replace(word, (_, kind: string, coded: string) =>
    kind.toLowerCase() === "b" ? Buffer.from(coded, "base64").toString("utf8") : quoted(coded.replaceAll("_", " ")),
  );
}
