/** What kind of trouble it is: all that a door needs to know to choose a status or an exit code. */
export type Kind =
  | "malformed"
  | "invalid"
  | "usage"
  | "unsupported"
  | "too_large"
  | "wrong_method"
  | "unauthenticated"
  | "forbidden"
  | "missing"
  | "conflict"
  | "stale"
  | "finding"
  | "partial"
  | "limited"
  | "busy"
  | "locked"
  | "unavailable"
  | "misconfigured"
  | "defect";

export type Row = { readonly kind: Kind; readonly title: string; readonly detail: string };
