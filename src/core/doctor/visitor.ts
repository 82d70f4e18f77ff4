export type Answer = {
  readonly status: number;
  /** In small letters. */
  readonly headers: ReadonlyMap<string, string>;
  readonly setCookies: readonly string[];
  readonly text: string;
  readonly at: Date;
};

/** Why there was no answer, as a code such as ECONNREFUSED or CERT_HAS_EXPIRED. */
export class NoAnswer extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

/** Goes to one address, as a browser would: follows nothing by itself, and keeps cookies by a browser's rules. */
export type Visitor = {
  /** Fails with `NoAnswer`. Sends the cookies that a browser would. */
  ask(
    method: string,
    path: string,
    sent?: { readonly headers?: Readonly<Record<string, string>>; readonly body?: object },
  ): Promise<Answer>;
  /** Keeps the cookies of an answer. Answers the names of those that a browser would refuse, or would never send back. */
  keep(path: string, setCookies: readonly string[]): Promise<readonly string[]>;
  cookie(path: string, name: string): Promise<string | undefined>;
  /** The addresses of both ends of a connection; `undefined` where they cannot be known. */
  ends(): Promise<{ readonly own: string; readonly other: string } | undefined>;
};
