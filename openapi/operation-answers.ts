import { Type } from 'typebox'
import { count, guid, moment, oneOf, open, orNull, text } from './answers.ts'

/** Bodies of the operations endpoints, for `openapi.yaml` only; `operations-bodies.ts` makes them. */

const errorCode = text('An error code, as callers get it.', ['upstream_unavailable'])
const errorClass = text('The finer word of the log.', ['timeout'])

const lastError = open({
  code: errorCode,
  class: errorClass,
  detail: text('What was wrong; without credentials, and without the text of whoever was asked.'),
  upstream_codes: Type.Array(Type.Integer(), { description: 'AADSTS numbers, where Entra gave any.' }),
  at: moment('When.'),
})

const upstreamCheck = open({
  kind: oneOf(['authority', 'identity', 'issuer'], 'Entra, the managed identity, or an issuer of callers.'),
  name: text("The authority's origin, the identity source, or the issuer's name in the policy."),
  status: oneOf(['ok', 'failing', 'unknown'], 'The outcome of the last attempt; `unknown` while there was none.'),
  since: moment('When it took this status.'),
  detail: text('The status in words.'),
  consecutive_failures: count('Failures in a row.'),
  last_success: orNull(Type.String({ format: 'date-time' }), 'The last attempt that succeeded.'),
  circuit: Type.Optional(
    open(
      {
        state: oneOf(
          ['closed', 'open', 'half-open'],
          '`open`: not asked for the moment; `half-open`: asked once, to see.',
        ),
        since: moment('When it came into this state.'),
      },
      'Of an authority: whether it is asked at all.',
    ),
  ),
  last_error: orNull(lastError, 'The last failure there was, also when all is well again.'),
})

/** 200 of `/health`. */
export const health = open(
  {
    status: oneOf(
      ['ok', 'failing', 'unknown'],
      '`failing` as soon as the policy or one upstream is, `ok` only when all are.',
    ),
    ready: Type.Boolean({ description: 'What `/readyz` says.' }),
    draining: Type.Boolean({ description: 'Whether the process is about to stop.' }),
    version: text("The broker's version."),
    node: text("Node's version."),
    started_at: moment('When the process started.'),
    policy: open({
      status: oneOf(['ok', 'failing'], '`failing` while the file is faulty and an older version of it is in force.'),
      since: moment('When it took this status: when the version in force was loaded, or the fault was found.'),
      detail: text('How many rules, denials and issuers there are, or what is wrong.'),
      version: Type.String({ pattern: '^[0-9a-f]{64}$', description: "SHA-256 of the policy file's bytes." }),
      loaded_at: moment('When the policy in force was loaded.'),
      faults: Type.Optional(
        Type.Array(open({ where: text('Path, line and column.'), what: text('What is wrong.') }), {
          description: 'What is wrong with the file; absent while nothing is.',
        }),
      ),
    }),
    upstreams: Type.Array(upstreamCheck, { description: 'Everybody whom the broker asks.' }),
  },
  'The state of the broker as its own traffic shows it.',
)

/** 200 of `/cache`. */
export const cacheStatistics = open(
  {
    entries: count('Cached tokens.'),
    max_entries: count('How many fit; beyond that, the least recently used leaves.', 1),
    fetching: count('Fetches under way or waiting for their turn, one per application, tenant and scope.'),
    exchanging: count('Exchanges with Entra under way.'),
    waiting: count('Places of callers in the queue for an exchange.'),
    waiting_background: count('Places of refreshes in the queue for an exchange.'),
    failures: Type.Array(
      open({
        level: oneOf(
          ['application', 'tenant', 'key'],
          'What they stand for: all of an application, one tenant, one key.',
        ),
        reason: errorClass,
        count: count('How many.', 1),
      }),
      { description: 'Remembered failures: while one stands, nobody is asked.' },
    ),
    evictions: count('Entries pushed out by others since start.'),
    at_risk: count('Valid tokens that were asked for since their last refresh, which failed.'),
    first_loss_in: orNull(
      Type.Integer({ minimum: 0 }),
      'Seconds until the first of those is no longer handed out; null while there are none.',
    ),
  },
  'The cache in numbers.',
)

/** 200 of `DELETE /tokens`. */
export const purged = open(
  {
    dropped: count('Tokens that were dropped.'),
    replicas: oneOf(['this', 'all'], 'Which replicas have forgotten them.'),
  },
  'What was forgotten.',
)

/** One of the entries of {@link cacheEntries}: never the token. */
export const cacheEntry = open(
  {
    tenant: guid('The tenant of the token: its id.'),
    scope: text('The scope of the token.'),
    application: orNull(Type.String(), "The application's name in the policy; null if it has none any more."),
    client_id: guid("The application's client id."),
    state: oneOf(['fresh', 'due', 'expired'], '`due`: the next request for it starts a refresh.'),
    expires_on: count('When the token expires, in seconds since 1970.'),
    served_for: count('Seconds until it is no longer handed out.'),
    refresh_in: count('Seconds until the next request for it starts a refresh.'),
    vain_refreshes: count('Refreshes in a row that failed or brought nothing newer.'),
    last_failure: orNull(
      open({ code: errorCode, class: errorClass, at: moment('When.') }),
      'The last refresh, if it failed.',
    ),
    token: Type.String({
      pattern: '^[0-9a-f]{32}$',
      description: 'The fingerprint of the token, as in the audit trail: half of its SHA-256.',
    }),
    trace_id: orNull(Type.String(), "Entra's trace id of the exchange."),
    correlation_id: orNull(Type.String(), "Entra's correlation id of the exchange."),
  },
  'What may be told of a cached token: not the token.',
)

/** 200 of `/cache/entries`. */
export const cacheEntries = open(
  {
    entries: Type.Array(Type.Unsafe({ $ref: '#/components/schemas/CacheEntry' })),
    next_cursor: orNull(Type.String(), 'The `cursor` of the next page; null on the last.'),
  },
  'A page of cache entries, in the order in which they were fetched.',
)
