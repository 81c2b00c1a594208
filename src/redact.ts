const MASK = "***";

/**
 * Text with the user and password of every URL in it masked, wherever in the text a URL stands.
 * The `userinfo` ends at the last `@` of the authority (WHATWG URL, as browsers and Node read it), so that a
 * password with an unescaped `@` in it is masked whole.
 */
export function redactUserinfo(text: string): string {
  // Most log lines have no `@` at all: do not run the expression over them.
  return text.includes("@") ? text.replaceAll(/\/\/[^\s"'<>/?#\\]*@/g, `//${MASK}@`) : text;
}

/**
 * A value that was meant to be a URL with a password in it, but may be anything: masks all that could be a secret,
 * rather too much than too little. What is left shows the scheme and the host.
 */
export function redactGiven(given: string): string {
  return (
    given
      .replace(/^([a-z][a-z0-9+.-]*:\/+)?.*@/is, `$1${MASK}@`)
      .replace(/\?.*$/s, `?${MASK}`)
      // With no `@`: what follows a colon and is no port is a password that lost its host.
      .replace(/:(?!\/\/|\d{1,5}(?:[/,?]|$))[^/,]*/g, `:${MASK}`)
  );
}

// JSON members that carry credentials, at any depth and in any case; their values are strings or arrays of strings.
const SECRET_MEMBER =
  /("(?:proxy-)?authorization"|"(?:set-)?cookie"|"password"):(?:"(?:[^"\\]|\\.)*"|\[(?:"(?:[^"\\]|\\.)*",?)*\])/gi;

/** One line of JSON (a log line) with credentials masked: header fields, passwords, and the userinfo of URLs. */
export function redactJsonLine(line: string): string {
  return redactUserinfo(line.replaceAll(SECRET_MEMBER, `$1:"${MASK}"`));
}
