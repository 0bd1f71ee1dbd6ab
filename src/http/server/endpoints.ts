/** Every endpoint by its name in metrics and the audit log. `none`: the request reached no endpoint. */
export const endpoints = [
  'tokens',
  'oauth_token',
  'entra_token',
  'identity',
  'metadata',
  'oauth_metadata',
  'openid_configuration',
  'purge',
  'livez',
  'readyz',
  'health',
  'metrics',
  'cache',
  'cache_entries',
  'docs',
  'none',
] as const

/** One of {@link endpoints}. */
export type Endpoint = (typeof endpoints)[number]
