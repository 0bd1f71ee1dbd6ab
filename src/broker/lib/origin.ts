/** Whether a URL's host is loopback: `localhost`, `[::1]` or 127.0.0.0/8. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)

/**
 * Parses an origin to which credentials may be sent: https, or http on loopback. Returns it without a trailing slash;
 * `undefined` for anything else, such as a URL with a path, a query or a user name.
 */
export function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined
  const { href, origin, protocol, hostname } = new URL(text)
  if (href !== `${origin}/`) return undefined
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname)) ? origin : undefined
}
