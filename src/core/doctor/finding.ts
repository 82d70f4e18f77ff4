/** What `doctor` looks at, in the order in which it tells. */
export const parts = [
  "config",
  "secret",
  "database",
  "schema",
  "keys",
  "redis",
  "mail",
  "outbox",
  "clock",
  "cookies",
  "proxy",
  "disk",
  "backup",
  "purge",
  "servers",
] as const;
export type Part = (typeof parts)[number];

/** What is looked at from outside, through the address that users have. */
export const outsideParts = [
  "reach",
  "https",
  "issuer",
  "jwks",
  "headers",
  "cookies",
  "address",
  "origins",
  "links",
  "docs",
  "clock",
] as const;
export type OutsidePart = (typeof outsideParts)[number];

/** What is wrong, as a sentence, and what to do about it, as another one. */
export type Finding = { readonly problem: string; readonly remedy: string };

export type Examined<P extends string = Part> = {
  readonly part: P;
  readonly findings: readonly Finding[];
  /** Why it was not looked at. */
  readonly skipped?: string;
};
