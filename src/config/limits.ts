import { quota, toggle } from "./parsers.ts";
import { required } from "./rows.ts";

/** How much is let through. */
export const limits = {
  RATE_LIMITS: required({
    doc: "Whether anything is limited at all; `off` is for load tests.",
    parse: toggle,
    fallback: "on",
  }),
  RATE_LIMIT_REQUESTS: required({
    doc: "Requests of one client address (of one /64 with IPv6), as number/time; an office behind one address is many people. Counted in Redis; without it each worker counts its share.",
    parse: quota,
    fallback: "6000/1m",
  }),
  RATE_LIMIT_REGISTER: required({
    doc: "Sign-ups from one client address. Counted in Redis; without it each worker counts its share.",
    parse: quota,
    fallback: "1000/1h",
  }),
  RATE_LIMIT_REFRESH: required({
    doc: "Refreshes from one client address. Counted in Redis; without it each worker counts its share. One that is refused leaves the session as it is.",
    parse: quota,
    fallback: "3000/1m",
  }),
  RATE_LIMIT_SIGN_IN_ACCOUNT: required({
    doc: "Passwords that may be tried on one account, whether there is such an account or not. A right one is not counted. Counted in the database.",
    parse: quota,
    fallback: "10/15m",
  }),
  RATE_LIMIT_SIGN_IN_ADDRESS: required({
    doc: "Passwords that may be tried from one client address. A right one is not counted. Counted in the database.",
    parse: quota,
    fallback: "100/15m",
  }),
  RATE_LIMIT_SIGN_IN_PAIR: required({
    doc: "Passwords that may be tried on one account from one client address. A right one is not counted. Counted in the database.",
    parse: quota,
    fallback: "10/15m",
  }),
  RATE_LIMIT_MAIL_ACCOUNT: required({
    doc: "Mails that may be asked for one address (to reset a password, to verify it again), whether somebody has it or not. Counted in the database.",
    parse: quota,
    fallback: "5/1h",
  }),
  RATE_LIMIT_MAIL_ADDRESS: required({
    doc: "Mails that may be asked for from one client address. Counted in the database.",
    parse: quota,
    fallback: "50/1h",
  }),
} as const;
