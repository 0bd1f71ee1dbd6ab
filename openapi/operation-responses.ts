import { Type } from 'typebox'
import { storeFailures } from '../src/broker/tokens/second-level.ts'
import { endKinds, endStates, maxEnds } from '../src/broker/ends.ts'
import { endsSoonDays } from '../src/broker/policy/file/entries/api-keys.ts'
import { counters } from './counter-responses.ts'
import { count, moment, oneOf, open, orNull, text } from './responses.ts'

/** Schemas of the operations endpoints' responses, for `openapi.yaml` only. `operations-bodies.ts` writes the responses. */

/** The code of an error. */
export const errorCode = text('The error code that callers get.', ['upstream_unavailable'])
/** The reason of an error. */
export const errorReason = text('The reason of the error, as in the log and the metrics.', ['timeout'])

/** What Entra refused to accept. */
export const presented = orNull(
  open({
    issuer: text('The claim `iss`.', ['https://login.microsoftonline.com/20000000-0000-4000-8000-000000000001/v2.0']),
    subject: text("The claim `sub`: a managed identity's principal id."),
    audience: text('The claim `aud`.', ['api://AzureADTokenExchange']),
  }),
  "What the managed identity's token said, if Entra did not accept it: compare it with the federated credential of the " +
    'application; otherwise null.',
)

const lastError = open({
  code: errorCode,
  reason: errorReason,
  detail: text('The error in words. It contains no credential and no text from the upstream.'),
  upstream_codes: Type.Array(Type.Integer(), { description: 'AADSTS codes, if Entra returned any.' }),
  presented,
  system_code: orNull(
    Type.String({ pattern: '^[A-Z][A-Z0-9_]{2,49}$' }),
    'The code of the operating system or of TLS, such as `ECONNREFUSED`; null if there was none.',
  ),
  at: moment('When the error occurred.'),
})

const upstreamCheck = open({
  kind: oneOf(['authority', 'identity', 'issuer'], 'Entra, the managed identity, or a caller issuer.'),
  name: text("The authority's origin, the identity source, or the issuer's name in the policy."),
  status: oneOf(['ok', 'failing', 'unknown'], 'The outcome of the last request to it; `unknown` before the first one.'),
  since: moment('When the status last changed.'),
  detail: text('The status in words.'),
  consecutive_failures: count('Consecutive failures.'),
  last_success: orNull(Type.String({ format: 'date-time' }), 'When a request to it last succeeded.'),
  average_seconds: orNull(
    Type.Number({ minimum: 0 }),
    'How long requests to it take: a mean in which the last five count most; null before the first one.',
  ),
  clock_offset_seconds: Type.Optional(
    orNull(
      Type.Integer(),
      "Of an authority: how far the broker's clock is ahead of the `Date` of its last response; negative: behind; null " +
        'while unknown.',
    ),
  ),
  address: Type.Optional(
    orNull(
      Type.String(),
      'Of the managed identity: the origin of `IDENTITY_ENDPOINT`, or the path of `AZURE_FEDERATED_TOKEN_FILE`; null of an agent.',
    ),
  ),
  circuit: Type.Optional(
    open(
      {
        state: oneOf(
          ['closed', 'open', 'half-open'],
          '`closed`: exchanges are sent; `open`: none is sent; `half-open`: one is sent as a probe.',
        ),
        since: moment('When the state last changed.'),
      },
      'The circuit breaker of an authority.',
    ),
  ),
  last_error: orNull(lastError, 'The last failure, also after later requests succeeded; null if there was none.'),
})

/** 200 of `/health`. */
export const health = open(
  {
    status: oneOf(
      ['ok', 'failing', 'unknown'],
      '`failing` if the policy, any upstream or Redis is failing; `ok` only if all of them are.',
    ),
    ready: Type.Boolean({ description: 'Whether `/readyz` reports ready.' }),
    draining: Type.Boolean({ description: 'Whether the process is draining before it stops.' }),
    replica: text('The name of this replica, new at each start. Other replicas know it by this name.', [
      'token-broker-5d8f6-1f0c9a3e',
    ]),
    version: text("The broker's version."),
    node: text("Node's version."),
    started_at: moment('When the process started.'),
    policy: open({
      status: oneOf(['ok', 'failing'], '`failing` while the file is invalid and an older version of it is active.'),
      since: moment('When the active version was loaded, or when the file was found to be invalid.'),
      detail: text('The number of rules, denials and issuers, or what is wrong.'),
      file: orNull(
        Type.String(),
        'The path of the policy file (`BROKER_POLICY_FILE`); null of an agent, which has none.',
      ),
      version: Type.String({ pattern: '^[0-9a-f]{64}$', description: "SHA-256 of the policy file's bytes." }),
      loaded_at: moment('When the active policy was loaded.'),
      errors: Type.Optional(
        Type.Array(open({ where: text('Path, line and column.'), what: text('What is wrong.') }), {
          description: 'The errors of the policy file; absent while it is valid.',
        }),
      ),
    }),
    upstreams: Type.Array(upstreamCheck, { description: 'Every upstream of the broker.' }),
    shared_cache: Type.Optional(
      open(
        {
          status: oneOf(['ok', 'failing'], '`failing` while Redis does not respond. The broker stays ready.'),
          since: moment('When the status last changed.'),
          detail: text('The status in words.'),
          failure: orNull(
            oneOf(
              storeFailures,
              'Why it does not respond: the connection is refused; it is not established or nothing comes over it (`timeout`); ' +
                'its name has no address; TLS fails; the credential is refused or unavailable; the connection was closed.',
            ),
            'The kind of failure; null while Redis responds, and while the kind is unknown.',
          ),
          address: orNull(Type.String(), 'The host and port of `BROKER_REDIS_URL`, without a credential.'),
          live_replicas: orNull(Type.Integer({ minimum: 1 }), 'Live replicas, this one included; null while unknown.'),
          keys: Type.Array(
            open({
              id: text('The id of the key in the key ring.'),
              writes: Type.Boolean({ description: 'Whether it encrypts new values. Every key decrypts.' }),
            }),
            { description: 'The keys of `BROKER_CACHE_KEY_FILE`. They have no end date.' },
          ),
        },
        'Redis, which replicas share; absent without it.',
      ),
    ),
    ends: Type.Array(
      open({
        kind: oneOf(
          endKinds,
          "`api_key`: a key of the policy; `tls`: a certificate of the server's chain; `client_ca`: a CA of `TLS_CLIENT_CA_FILE`.",
        ),
        name: text('The name of the key in the policy, or the subject of the certificate.'),
        file: orNull(Type.String(), 'The file of the certificate; null of an API key, which is in the policy.'),
        ends_at: moment('When it ends.'),
        state: oneOf(endStates, `\`ends_soon\`: within ${endsSoonDays} days; \`ended\`: it is no longer accepted.`),
      }),
      {
        maxItems: maxEnds,
        description: 'When API keys and certificates end, those nearest to now first. They do not change `status`.',
      },
    ),
    ends_total: count('The number of ends, including those that are not listed.'),
  },
  'The state of the broker, derived from its own traffic.',
)

/** 200 of `/cache`. */
export const cacheStatistics = open(
  {
    time: moment('When this was measured, by the clock of the broker.'),
    replica: text('The name of the replica that responds, as in its `/health`.'),
    started_at: moment('When the process started.'),
    entries: count('Number of cached tokens.'),
    max_entries: count('Maximum number of cached tokens; beyond it, the least recently used is evicted.', 1),
    fetching: count('Fetches in flight or queued: at most one per application, tenant and scope (single flight).'),
    exchanging: count('Exchanges with Entra in flight.'),
    waiting: count('Entries of callers in the fair queue for an exchange.'),
    waiting_background: count('Entries of background refreshes in the fair queue for an exchange.'),
    failures: Type.Array(
      open({
        level: oneOf(
          ['application', 'tenant', 'key'],
          'What they apply to: all of an application, one of its tenants, or one key (application, tenant and scope).',
        ),
        reason: errorReason,
        count: count('Number of failures.', 1),
      }),
      { description: 'The negative cache: failures that are served from memory until they expire.' },
    ),
    evictions: count('Number of tokens evicted since the start because the cache was full.'),
    at_risk: count('Number of valid tokens that were requested after their last refresh failed.'),
    at_risk_usable_seconds: orNull(
      Type.Integer({ minimum: 0 }),
      'Seconds until the first of those becomes unusable; null while there are none.',
    ),
    counters,
    replicas: Type.Optional(
      orNull(
        Type.Array(
          open({
            replica: text('The name of the replica, as in its `/health`.'),
            entries: count('Number of cached tokens.'),
            fetching: count('Fetches in flight or queued.'),
            at_risk: count('Number of valid tokens that were requested after their last refresh failed.'),
          }),
        ),
        'What each live replica reported in the last three seconds; null while that is unknown, absent without Redis.',
      ),
    ),
  },
  'Cache statistics and counters.',
)

/** 200 of `DELETE /tokens`. */
export const purged = open(
  {
    dropped: count('Number of tokens removed from the cache of the replica that responds.'),
    replicas: oneOf(
      ['this', 'all'],
      'Which replicas have confirmed the purge: `all` live ones, or not all of them. Without a second level always `this`.',
    ),
    confirmed: Type.Optional(count('How many live replicas have confirmed the purge, if not all of them.')),
    live: Type.Optional(count('The number of live replicas, if not all of them have confirmed the purge.')),
  },
  'The result of a purge.',
)
