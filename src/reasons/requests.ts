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
      'the request has no credential: the header `Authorization` is absent or empty, or has a scheme that the endpoint does not accept (Basic at `POST /tokens`), or is Basic without a password',
      'the client must send `Authorization: Bearer <token>`, or the credential of its protocol',
    ),
  },
  invalid_token: {
    malformed: reason(
      caller,
      'neither an API key of the policy nor a JWT in compact form and canonical base64url (no white space, no padding, unused bits zero); a JWT that cannot be verified (an RSA key of less than 2048 bits); two `Authorization` headers',
      'the client must send its whole token, once',
    ),
    issuer: reason(
      caller,
      "`iss` is none of the policy's `issuers`, byte for byte (a slash at the end counts)",
      'write `issuer` exactly as in the token, which the response and the log repeat (`unverified.iss`). Entra has `https://sts.windows.net/<tenant>/` in v1.0 tokens, `https://login.microsoftonline.com/<tenant>/v2.0` in v2.0 tokens',
    ),
    type: reason(
      caller,
      '`typ` is none of `JWT`, `at+jwt`, `JOSE`: for example, a logout token',
      'send an access token',
    ),
    audience: reason(
      caller,
      "`aud` is none of the issuer's `audiences`",
      "compare the `aud` of the token, which the response and the log repeat (`unverified.aud`): request a token for the broker's audience, or correct `audiences`; v2.0 tokens of Entra have the client id, not `api://…`",
    ),
    expired: reason(
      caller,
      "`exp` passed 30 s ago or more by this machine's clock; or the API key, the client certificate or another certificate of its chain has expired",
      'renew the token, certificate or key in time; compare the clocks',
    ),
    not_yet_valid: reason(
      caller,
      "`nbf` or `iat` is more than 30 s ahead of this machine's clock; or the client certificate is not valid yet",
      'compare the clocks',
    ),
    expiry: reason(
      caller,
      '`exp` is missing, not a number, or more than 400 days ahead, such as one in milliseconds',
      'use an issuer that sets it',
    ),
    subject: reason(caller, '`sub` is missing', 'use an issuer that sets it'),
    claims: reason(
      caller,
      '`sub` is empty or not a text, or an Entra token names no application (`azp`, `appid`), such as an ID token, or a delegated one has no `oid` or says that it is an application token',
      'send the access token of an application',
    ),
    delegated: reason(
      caller,
      'the token of Entra has `scp` or an `idtyp` that is not `app`: it acts for a user. No rule lists delegated tokens of its issuer, the request is for a token, or the token has no scope',
      'the caller must get a token for itself (client credentials, managed identity); for permissions, see callers.md',
    ),
    confirmation: reason(
      caller,
      'the token is bound (`cnf`) to a client certificate that the request does not have, or to something else',
      'connect with that certificate; use tokens without `cnf`, or with `x5t#S256` alone',
    ),
    certificate: reason(
      caller,
      "the client certificate is not signed by an authority in `TLS_CLIENT_CA_FILE`, is a CA certificate, is not for clients, or has no URI or DNS name; a proxy forwards one that TLS would refuse (key usage, path length, unknown critical extensions, a weak key or signature), or one below an authority with name constraints; or a trusted proxy's header does not contain exactly one certificate",
      'inspect it with `openssl x509 -text`; if a proxy forwards it, the file must contain the authority that signed it directly, unless the proxy forwards the chain too',
    ),
    algorithm: reason(
      caller,
      'the algorithm is not RS, PS or ES 256/384/512, EdDSA or Ed25519, but for example `none` or HMAC',
      'if this is not your own client, it is an attack',
    ),
    key: reason(
      caller,
      'no published key of the issuer matches, even after a new fetch (at most one every ten seconds), or everybody can sign with it (RSA with e = 1, ROCA, Ed25519 of low order), so it is ignored',
      'a new key works within ten seconds of its publication; otherwise the token is not from that issuer',
    ),
    signature: reason(caller, 'the signature is invalid', 'if this is not your own client, it is an attack'),
    unsupported: reason(
      caller,
      'the token has a critical header (`crit`), or its key has an unsupported type',
      'use another type of token or key at the issuer',
    ),
    client_secret: reason(
      caller,
      'the client secret (`client_secret`, or the password of HTTP Basic) is no API key of the policy; a JWT is not accepted there',
      'configure an API key as the client secret, or send a token as `client_assertion`',
    ),
    secret: reason(
      outside('agent'),
      "agent only: the credential is not the agent's local secret; a user's token at `/AuthorizationHeader/{name}` is none",
      'set `IDENTITY_HEADER` as the agent prints it; the secret is in `--secret-file`',
    ),
  },
  not_permitted: {
    unknown_target: reason(
      policy,
      'the policy has no tenant, no scope, no application, or no agent identity, of this name',
      'correct the name in the request, or add it under `tenants`, `scopes`, `applications` or `agents`',
    ),
    unknown_client_id: reason(
      policy,
      'the request names the application by a client id that no application and no agent identity of the policy has',
      'correct `client_id` in the client, or add the application under `applications`',
    ),
    other_tenant: reason(
      policy,
      'a rule would grant it, but the agent identity is of another tenant: `tenant` of its entry under `agents`',
      'request the token in that tenant, or correct `tenant` under `agents`: an agent identity exists in one tenant',
    ),
    denied: reason(
      policy,
      'a denial matches and overrides every rule; for an operation, a denial of the caller alone',
      'change `deny` if this is not intended',
    ),
    no_rule: reason(
      policy,
      'no rule grants this caller this tenant, scope and application or agent identity together (or this permission)',
      'compare the line with the rules, the scope byte for byte; `"*"` does not cover the home tenant, which a rule must name; a rule without `applications` and `agents` covers `default` only',
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
      'the caller has sent as many requests as `requestLimit` of its rule allows',
      'the caller must keep tokens for `refresh_in` seconds; or raise the limit',
    ),
    exchanges: reason(
      limits,
      'the caller has caused as many exchanges as `exchangeLimit` of its rule allows; it still gets cached tokens. In `token.refresh_failed`: the refresh is postponed',
      'request fewer tenants and scopes at once; or raise the limit',
    ),
    tenant: reason(
      limits,
      'all callers together have caused as many exchanges for this application and tenant as `tenantLimit` of the policy allows; cached tokens are still served. `/cache/failures` lists the tenant',
      'find the callers that request many scopes, or that purge; or raise the limit',
    ),
    bad_credentials: reason(
      limits,
      'more than 1,000 new credentials of this address (IPv6: its /64 network) wait for the verification of their signatures, or this one waited for 5 s; cached callers and API keys do not wait',
      'look for `caller.refused` with the reason `signature` and this `address`; if it is that of a proxy that the broker may trust, set `BROKER_TRUSTED_PROXIES`',
    ),
  },
  headers_too_large: {},
  issuer_unavailable: {
    issuer_unavailable: reason(
      outside('caller', true),
      'the broker has no keys to verify the token',
      "read the discovery document of the issuer, or its `jwksUri`, from the broker's network; Kubernetes API servers refuse anonymous reads, so use `jwksTokenFile` or `jwksFile`",
    ),
    keys: reason(
      outside('issuer', true),
      'one fetch of the keys failed; only in `/health` and `not ready yet`, in no audit line',
      'as for `issuer_unavailable`; callers are served while older keys are used',
    ),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ReasonRow>>>>
