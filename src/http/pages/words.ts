/** What our pages say, in every language that they know. */

export const languages = ["en", "de"] as const;
export type Language = (typeof languages)[number];

type Words = {
  readonly title: string;
  /** Beside the button that uses the link. */
  readonly lead: string;
  readonly button: string;
  /** Once that was done. */
  readonly done: string;
  /** Where the address of the page holds no token, or one that is not good any more. */
  readonly ask: string;
  /** Left out where nobody can ask for another link here. */
  readonly asked?: string;
};

type CommonWords = {
  readonly email: string;
  readonly askButton: string;
  readonly password: string;
  readonly again: string;
  readonly show: string;
  readonly hint: (least: number) => string;
  readonly noScript: string;
  /** By the code of the failure, as a `data-` attribute spells it. */
  readonly failures: Readonly<Record<string, string>>;
};

export const pageNames = ["verify-email", "reset-password", "recover"] as const;
export type PageName = (typeof pageNames)[number];

export const words: Readonly<Record<Language, Readonly<Record<PageName, Words>> & { readonly common: CommonWords }>> = {
  en: {
    "verify-email": {
      title: "Confirm your address",
      lead: "One more step: press the button, and this address is confirmed.",
      button: "Confirm my address",
      done: "Thank you. Your address is confirmed. You can close this page.",
      ask: "Open the link in the mail once more. If it does not work any longer, we send you another one.",
      asked: "If this address is waiting to be confirmed, a mail is on its way. Please look into your mailbox.",
    },
    "reset-password": {
      title: "Choose a new password",
      lead: "Afterwards you are signed out everywhere, and sign in with the new password.",
      button: "Set the new password",
      done: "Your new password is set. You can close this page and sign in with it.",
      ask: "Enter the address of your account, and we send you a link that lets you choose a new password.",
      asked: "If there is an account with this address, a mail is on its way. Please look into your mailbox.",
    },
    recover: {
      title: "Choose a new password",
      lead: "This link was made for you by who runs this service. Afterwards you are signed out everywhere, and sign in with the new password.",
      button: "Set the new password",
      done: "Your new password is set. You can close this page and sign in with it.",
      ask: "Open the link once more as it was given to you. If it does not work any longer, ask who runs this service for another one.",
    },
    common: {
      email: "Your address",
      askButton: "Send me a link",
      password: "New password",
      again: "New password, once more",
      show: "Show what I type",
      hint: (least) => `At least ${least} characters. Several unrelated words do well.`,
      noScript: "This page needs JavaScript. Please switch it on, and open the link once more.",
      failures: {
        "token-invalid": "This link is not valid any more: it was used, has expired, or a newer one was sent.",
        "email-taken": "This address belongs to another account by now.",
        "weak-password": "This password is too weak.",
        "validation-failed": "Please check what you have entered.",
        "rate-limited": "That was too often. Please try again later.",
        mismatch: "The two passwords are not the same.",
        other: "That did not work. Please try again in a moment.",
      },
    },
  },
  de: {
    "verify-email": {
      title: "Adresse bestätigen",
      lead: "Nur noch ein Schritt: Mit dem Knopf bestätigen Sie diese Adresse.",
      button: "Adresse bestätigen",
      done: "Vielen Dank. Ihre Adresse ist bestätigt. Sie können diese Seite schließen.",
      ask: "Öffnen Sie den Link in der Mail noch einmal. Falls er nicht mehr gilt, senden wir Ihnen einen neuen.",
      asked:
        "Falls diese Adresse noch zu bestätigen ist, ist eine Mail unterwegs. Bitte sehen Sie in Ihrem Postfach nach.",
    },
    "reset-password": {
      title: "Neues Passwort wählen",
      lead: "Danach sind Sie überall abgemeldet und melden sich mit dem neuen Passwort an.",
      button: "Neues Passwort setzen",
      done: "Ihr neues Passwort gilt. Sie können diese Seite schließen und sich damit anmelden.",
      ask: "Geben Sie die Adresse Ihres Kontos ein. Wir senden Ihnen einen Link, mit dem Sie ein neues Passwort wählen.",
      asked:
        "Falls es ein Konto mit dieser Adresse gibt, ist eine Mail unterwegs. Bitte sehen Sie in Ihrem Postfach nach.",
    },
    recover: {
      title: "Neues Passwort wählen",
      lead: "Diesen Link hat der Betreiber dieses Dienstes für Sie gemacht. Danach sind Sie überall abgemeldet und melden sich mit dem neuen Passwort an.",
      button: "Neues Passwort setzen",
      done: "Ihr neues Passwort gilt. Sie können diese Seite schließen und sich damit anmelden.",
      ask: "Öffnen Sie den Link noch einmal so, wie Sie ihn erhalten haben. Falls er nicht mehr gilt, bitten Sie den Betreiber um einen neuen.",
    },
    common: {
      email: "Ihre Adresse",
      askButton: "Link senden",
      password: "Neues Passwort",
      again: "Neues Passwort, noch einmal",
      show: "Eingabe anzeigen",
      hint: (least) => `Mindestens ${least} Zeichen. Mehrere Wörter ohne Zusammenhang eignen sich gut.`,
      noScript: "Diese Seite braucht JavaScript. Bitte schalten Sie es ein, und öffnen Sie den Link noch einmal.",
      failures: {
        "token-invalid": "Dieser Link gilt nicht mehr: Er wurde benutzt, ist abgelaufen, oder es gibt einen neueren.",
        "email-taken": "Diese Adresse gehört inzwischen zu einem anderen Konto.",
        "weak-password": "Dieses Passwort ist zu schwach.",
        "validation-failed": "Bitte prüfen Sie Ihre Eingabe.",
        "rate-limited": "Das war zu oft. Bitte versuchen Sie es später noch einmal.",
        mismatch: "Die beiden Passwörter sind nicht gleich.",
        other: "Das hat nicht geklappt. Bitte versuchen Sie es gleich noch einmal.",
      },
    },
  },
};
