/**
 * What our credentials look like, wherever they turn up: a session token, a refresh token, a JWT, a proof that was
 * sent by mail, a known device. Somebody who pastes one into the wrong place must not find it in the log or the audit trail.
 */
const credential = /(?<![A-Za-z0-9])(?:st_|rt[12]\.|eyJ|ve_|ce_|rp_|rc_|dv1\.)[\w.~-]{20,}/g;

export const withoutCredentials = (text: string): string => text.replace(credential, "[credential]");

export const holdsCredential = (text: string): boolean => withoutCredentials(text) !== text;
