import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CachedToken } from '../broker/cached-token.ts'
import type { Served } from '../broker/cache.ts'
import type { Issued, TokenIssuer } from '../broker/issue-token.ts'
import type { Ask } from '../broker/policy.ts'
import type { CacheOutcome } from '../broker/types.ts'
import { asBrokerError, BrokerError, type ErrorCode } from '../errors.ts'
import { authenticated, authenticateFor } from './credential.ts'
import { callerErrors, problems, routeErrors } from './schemas-problems.ts'
import { tokenRequest } from './schemas.ts'
import { createTokenRequestReader } from './token-request.ts'

const endpoint = 'tokens'

/** Every error that `POST /tokens` can answer. */
const errors: readonly ErrorCode[] = [
  ...routeErrors,
  ...callerErrors,
  'invalid_tenant',
  'invalid_scope',
  'too_large',
  'unsupported_media_type',
  'not_permitted',
  'consent_required',
  'upstream_rejected',
  'federation_misconfigured',
  'upstream_invalid',
  'upstream_unavailable',
  'identity_unavailable',
  'overloaded',
]

/** Adds `POST /tokens`: authenticate (401), then the form (400), then the policy (403), then the token. */
export function addTokens(app: FastifyInstance, issuer: TokenIssuer): void {
  const readRequest = createTokenRequestReader()
  const answers = new AnswerTexts()

  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      done(null, readRequest(text))
    } catch (thrown) {
      done(asBrokerError(thrown))
    }
  })
  app.post<{ Body: Ask | undefined }>('/tokens', {
    // For the description only: the parser has read the body by this schema.
    schema: { operationId: 'issueToken', body: tokenRequest, response: problems(...errors) },
    config: { endpoint },
    onRequest: authenticateFor(endpoint, issuer),
    handler: (request, reply) => {
      const { caller, facts } = authenticated(request)
      const { body: ask } = request
      if (ask === undefined) throw new BrokerError('invalid_request', 'The body is missing: send a JSON object.')
      const issued = issuer.issue(caller, ask, facts)
      if (issued instanceof Promise) return issued.then(late => answers.send(reply, late))
      return answers.send(reply, issued)
    },
  })
}

interface AnswerText {
  readonly expiresIn: number
  /** Two names may stand for one client id, and so share a token. */
  readonly application: string
  readonly body: string
  /** Those of a plain hit. */
  readonly headers: Readonly<Record<string, string>>
}

const maxAnswerTexts = 4096

/**
 * Bodies of the tokens that are asked for most, each good for one second: what changes in them is the number of seconds
 * left. Cleared when full, so that texts of tokens nobody asks for do not double the cache's memory.
 */
class AnswerTexts {
  readonly #texts = new Map<CachedToken, AnswerText>()

  send(reply: FastifyReply, issued: Issued): FastifyReply {
    const { grant, served } = issued
    const expiresIn = Math.floor(served.remaining / 1000)
    let text = this.#texts.get(served.token)
    if (text?.expiresIn !== expiresIn || text.application !== grant.application) {
      text = {
        expiresIn,
        application: grant.application,
        body: bodyOf(issued, expiresIn),
        headers: headersOf(served, 'hit'),
      }
      if (this.#texts.size >= maxAnswerTexts) this.#texts.clear()
      this.#texts.set(served.token, text)
    }
    return reply.headers(served.how === 'hit' ? text.headers : headersOf(served, served.how)).send(text.body)
  }
}

const headersOf = ({ token, remaining }: Served, how: CacheOutcome) => ({
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'cache-status': cacheStatus(how, Math.floor((remaining - token.life.minRemaining) / 1000)),
})

function bodyOf({ grant, served: { token, remaining } }: Issued, expiresIn: number): string {
  return JSON.stringify({
    access_token: token.token,
    token_type: 'Bearer',
    expires_in: expiresIn,
    expires_on: Math.floor(token.life.endsAt / 1000),
    refresh_in: Math.max(0, Math.floor((remaining - token.life.dueBeforeEnd) / 1000)),
    tenant: grant.tenant,
    scope: grant.scope,
    application: grant.application,
  })
}

/** `Cache-Status` (RFC 9211 §2). */
function cacheStatus(how: CacheOutcome, ttl: number): string {
  switch (how) {
    case 'hit':
      return `token-broker; hit; ttl=${ttl}`
    case 'due':
    case 'refresh-failed':
      return `token-broker; hit; ttl=${ttl}; detail=${how}`
    case 'miss':
      return 'token-broker; fwd=miss'
    case 'joined':
      return 'token-broker; fwd=miss; collapsed'
    case 'expired':
      return 'token-broker; fwd=stale'
    case 'request':
      return 'token-broker; fwd=request'
    default:
      return how satisfies never
  }
}
