/** A backup where it is kept, as lines of text: compressed and encrypted by whoever keeps it. */
export type Archive = {
  /** What people call it: the path of its file. */
  readonly name: string;
  /** Its lines from the first one, many at a time. Fails with what is wrong with the file. */
  lines(): AsyncIterable<readonly string[]>;
};

/** A backup that is written, and has no name of its own yet. */
export type Draft = {
  readonly archive: Archive;
  readonly bytes: number;
  /** Gives it its name. From then on it outlives a loss of power. */
  keep(): Promise<void>;
  discard(): Promise<void>;
};

/** Where the backups of one database are put. */
export type Shelf = {
  /** Writes all of it, or leaves nothing. */
  draft(madeAt: Date, text: AsyncIterable<string>): Promise<Draft>;
  /** Removes all but the newest so many of this database. Answers their names. */
  prune(keep: number): Promise<readonly string[]>;
};
