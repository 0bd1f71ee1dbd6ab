/**
 * The endpoints that issue no tokens, by their names in metrics and the audit log. `none`: the request reached no
 * endpoint. The names of the others are in the list of token endpoints.
 */
export const otherEndpoints = [
  'oauth_metadata',
  'openid_configuration',
  'purge',
  'livez',
  'readyz',
  'health',
  'metrics',
  'cache',
  'cache_entries',
  'cache_failures',
  'decisions',
  'dashboard',
  'docs',
  'none',
] as const

/** One of {@link otherEndpoints}. */
export type OtherEndpoint = (typeof otherEndpoints)[number]
