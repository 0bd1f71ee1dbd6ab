/** Whether a URL's host is this machine itself, as a name or an address. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)

/**
 * The origin that a text is, without a trailing slash, where credentials may be sent: https, or http on loopback.
 * `undefined` for anything else, a URL with a path, a query or a user name included.
 */
export function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined
  const { href, origin, protocol, hostname } = new URL(text)
  if (href !== `${origin}/`) return undefined
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname)) ? origin : undefined
}
