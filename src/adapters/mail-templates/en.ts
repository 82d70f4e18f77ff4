import accountDeletedHtml from "./en/account-deleted.html" with { type: "text" };
import accountDeletedText from "./en/account-deleted.txt" with { type: "text" };
import accountExistsHtml from "./en/account-exists.html" with { type: "text" };
import accountExistsText from "./en/account-exists.txt" with { type: "text" };
import confirmEmailHtml from "./en/confirm-email.html" with { type: "text" };
import confirmEmailText from "./en/confirm-email.txt" with { type: "text" };
import emailChangeRequestedHtml from "./en/email-change-requested.html" with { type: "text" };
import emailChangeRequestedText from "./en/email-change-requested.txt" with { type: "text" };
import emailChangedHtml from "./en/email-changed.html" with { type: "text" };
import emailChangedText from "./en/email-changed.txt" with { type: "text" };
import newDeviceHtml from "./en/new-device.html" with { type: "text" };
import newDeviceText from "./en/new-device.txt" with { type: "text" };
import passwordChangedHtml from "./en/password-changed.html" with { type: "text" };
import passwordChangedText from "./en/password-changed.txt" with { type: "text" };
import resetPasswordHtml from "./en/reset-password.html" with { type: "text" };
import resetPasswordText from "./en/reset-password.txt" with { type: "text" };
import sessionCompromisedHtml from "./en/session-compromised.html" with { type: "text" };
import sessionCompromisedText from "./en/session-compromised.txt" with { type: "text" };
import testHtml from "./en/test.html" with { type: "text" };
import testText from "./en/test.txt" with { type: "text" };
import verifyEmailHtml from "./en/verify-email.html" with { type: "text" };
import verifyEmailText from "./en/verify-email.txt" with { type: "text" };
import { type Templates, template } from "./templates.ts";

export const english: Templates = {
  "verify-email": template(verifyEmailText, verifyEmailHtml),
  "account-exists": template(accountExistsText, accountExistsHtml),
  "reset-password": template(resetPasswordText, resetPasswordHtml),
  "confirm-email": template(confirmEmailText, confirmEmailHtml),
  "email-change-requested": template(emailChangeRequestedText, emailChangeRequestedHtml),
  "email-changed": template(emailChangedText, emailChangedHtml),
  "password-changed": template(passwordChangedText, passwordChangedHtml),
  "new-device": template(newDeviceText, newDeviceHtml),
  "session-compromised": template(sessionCompromisedText, sessionCompromisedHtml),
  "account-deleted": template(accountDeletedText, accountDeletedHtml),
  test: template(testText, testHtml),
};
