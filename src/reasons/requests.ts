import { outside, reason, type ReasonRow } from './row.ts'

const request = outside('request')
const caller = outside('caller')
const policy = outside('policy')
const limits = outside('limits')

/** Reasons of the codes that are decided before any exchange: by the form of the request, the caller, the policy, the limits. */
export const requestReasons = {
  invalid_request: {
    unsupported_grant_type: reason(
      request,
      '`grant_type` is neither `client_credentials` nor, at `/oauth2/token`, token exchange',
      'use one of the two',
    ),
  },
  invalid_tenant: {},
  invalid_scope: {},
  unauthenticated: {
    unauthenticated: reason(
      caller,
      'no bearer credential came: the header is absent or empty, or has another scheme (Basic)',
      'let the client send `Authorization: Bearer <token>`',
    ),
  },
  invalid_token: {
    malformed: reason(
      caller,
      'neither an API key of the policy nor a JWT in compact form, or not verifiable at all (an RSA key of less than 2048 bits); two `Authorization` headers count as one malformed',
      'let the client send its token whole, once',
    ),
    issuer: reason(
      caller,
      "`iss` is none of the policy's `issuers`, compared byte for byte (a slash at the end counts)",
      'write `issuer` exactly as in the token; of Entra: `https://sts.windows.net/<tenant>/` in v1.0 tokens, `https://login.microsoftonline.com/<tenant>/v2.0` in v2.0',
    ),
    type: reason(
      caller,
      '`typ` is none of `JWT`, `at+jwt`, `JOSE`: for example, a logout token',
      'send an access token',
    ),
    audience: reason(
      caller,
      "`aud` is none of the issuer's `audiences`",
      "request a token for the broker's audience, or correct `audiences`; Entra's v2.0 tokens have the client id, not `api://…`",
    ),
    expired: reason(
      caller,
      "`exp` passed 30 s ago or more by this machine's clock; or the client certificate, one above it, or the API key has expired",
      'renew token, certificate or key in time; compare the clocks',
    ),
    not_yet_valid: reason(
      caller,
      "`nbf` or `iat` is more than 30 s ahead of this machine's clock; or the client certificate is not valid yet",
      'compare the clocks',
    ),
    expiry: reason(caller, '`exp` is missing or not a number', 'use an issuer that sets it'),
    subject: reason(caller, '`sub` is missing', 'use an issuer that sets it'),
    claims: reason(
      caller,
      '`sub` is empty or not a text, or an Entra token names no application (`azp`, `appid`): an ID token',
      "send an application's access token",
    ),
    delegated: reason(
      caller,
      'the token of Entra has `scp`: it acts for a user',
      'let the caller get a token as itself (client credentials, managed identity)',
    ),
    confirmation: reason(
      caller,
      'bound (`cnf`) to a client certificate that did not come with the request, or to something else',
      'connect with that certificate; use tokens that are unbound or have `x5t#S256` alone',
    ),
    certificate: reason(
      caller,
      "the client certificate is of no authority of `TLS_CLIENT_CA_FILE`, an authority's own, not for clients, or without a URI or DNS name; or a trusted proxy's header does not hold exactly one",
      'inspect it with `openssl x509 -text`; if a proxy forwards it, the file must hold the very authority that signed it',
    ),
    algorithm: reason(
      caller,
      'an algorithm other than RS, PS, ES 256/384/512 and EdDSA, such as `none` or HMAC',
      'if this is not your own client, it is an attack',
    ),
    key: reason(
      caller,
      'no published key of the issuer fits, not even after a new fetch (one every ten seconds at most)',
      'a new key works within ten seconds of its publication; else the token is not from that issuer',
    ),
    signature: reason(caller, 'the signature does not fit', 'if this is not your own client, it is an attack'),
    unsupported: reason(
      caller,
      'a critical header (`crit`), or an unsupported kind of key',
      'use another kind of token or key at the issuer',
    ),
    secret: reason(
      outside('agent'),
      'agent only: the credential is not its local secret',
      'set `IDENTITY_HEADER` as the agent prints it; the secret is in `--secret-file`',
    ),
  },
  not_permitted: {
    unknown_target: reason(
      policy,
      'the policy has no tenant, or no application, of this name',
      'correct the name in the request, or add it under `tenants` or `applications`',
    ),
    unknown_client_id: reason(
      policy,
      'the request names the application by a client id that no application of the policy has',
      'correct `client_id` in the client, or add the application under `applications`',
    ),
    denied: reason(
      policy,
      'a denial names it and wins over every rule; for an operation, a denial of the caller alone',
      'if it should not: change `deny`',
    ),
    no_rule: reason(
      policy,
      'no rule names this caller together with this tenant, scope and application (or this permission)',
      'compare the line with the rules: the scope byte for byte; `"*"` does not cover the home tenant, which a rule must name; a rule without `applications` covers `default` only',
    ),
  },
  not_found: {
    no_public_url: reason(
      request,
      'a client requested the OAuth metadata or the OpenID document, and the broker does not know its own URL',
      'set `BROKER_PUBLIC_URL`',
    ),
  },
  method_not_allowed: {},
  request_timeout: {},
  too_large: {},
  unsupported_media_type: {},
  rate_limited: {
    requests: reason(
      limits,
      'the caller has made as many requests as `requestLimit` of its rule allows',
      'let the caller keep tokens until `refresh_in`; or raise the limit',
    ),
    exchanges: reason(
      limits,
      'the caller has caused as many exchanges as `exchangeLimit` of its rule allows; it still gets cached tokens. In `token.refresh_failed`: the refresh is postponed',
      'request fewer tenants and scopes at once; or raise the limit',
    ),
    bad_credentials: reason(
      limits,
      'more than 100 bad credentials came from this address (IPv6: its /64 network), or more than 10 a second for longer; this credential is not known yet',
      'look for `caller.refused` with this `address`; behind a proxy, set `BROKER_TRUSTED_PROXIES`, or all callers share its address',
    ),
  },
  headers_too_large: {},
  issuer_unavailable: {
    issuer_unavailable: reason(
      outside('caller', true),
      'there are no keys to verify with',
      "from the broker's network, read the discovery document below the issuer, or the `jwksUri`; Kubernetes API servers refuse anonymous reads: use `jwksFile`",
    ),
    keys: reason(
      outside('issuer', true),
      'one fetch of the keys failed: in `/health`, and for all issuers in `not ready yet`; in no audit line',
      'as above; callers are served while older keys are valid',
    ),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ReasonRow>>>>
