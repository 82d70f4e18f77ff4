/** A signal that asks the running command to end. */
export type Signal = "SIGINT" | "SIGTERM";

export type Input = {
  readonly isTTY: boolean;
  /** The next bytes, or undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Whether keys arrive one by one and unseen, as a hidden prompt wants them. */
  raw(on: boolean): void;
};

export type Output = {
  readonly isTTY: boolean;
  /** Width of the terminal in cells; 80 where nobody knows. */
  readonly columns: number;
  /** Resolves when the reader has taken the text, so that a long list waits for a slow pipe. Rejects with `PipeClosed`. */
  write(text: string): Promise<void>;
};

/** Everything that a run of the command line has from outside, so that a test can be the outside. */
export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The operating system's name of whoever runs the command, and of the machine: together they are the actor in the audit trail. */
  readonly user: string;
  readonly host: string;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Calls `listener` at each signal until the returned function is called. */
  onSignal(listener: (signal: Signal) => void): () => void;
  /** Ends the process without waiting for anything. */
  quit(code: number): void;
};

/** The reader of our output has gone (`| head -1`): no failure, but nothing more is wanted. */
export class PipeClosed extends Error {
  override readonly name = "PipeClosed";
}

/** Whether standard error may be coloured. */
export function isColoured({ stderr, env }: Io, refused: boolean): boolean {
  return stderr.isTTY && !refused && !env.NO_COLOR && env.TERM !== "dumb";
}
