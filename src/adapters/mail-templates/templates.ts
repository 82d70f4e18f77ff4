import type { MailKind } from "../../core/mail.ts";

export type Template = { readonly txt: string; readonly html: string };
export type Templates = Readonly<Record<MailKind, Template>>;

/** Imported `with { type: "text" }` it is a text; the types take every `.html` for a page that Bun serves. */
export const pageText = (page: unknown): string => page as string;

export const template = (txt: string, html: unknown): Template => ({ txt, html: pageText(html) });
