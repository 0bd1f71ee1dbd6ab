import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { Caller } from '../broker/authenticate.ts'
import type { CachedToken, Served } from '../broker/cache.ts'
import type { Issued, TokenIssuer } from '../broker/issue-token.ts'
import type { Ask } from '../broker/policy.ts'
import type { CacheOutcome, RequestFacts } from '../broker/types.ts'
import { asBrokerError, BrokerError } from '../errors.ts'
import { tokenRequest } from './schemas.ts'
import { createTokenRequestReader } from './token-request.ts'

const endpoint = 'tokens'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set once the request is authenticated. */
    caller: Caller | undefined
    /** What is announced with the request's outcome. */
    facts: RequestFacts | undefined
  }
}

/** Adds `POST /tokens`: authenticate (401), then the form (400), then the policy (403), then the token. */
export function addTokens(app: FastifyInstance, issuer: TokenIssuer): void {
  const readRequest = createTokenRequestReader()
  const answers = new AnswerTexts()
  app.decorateRequest('caller', undefined)
  app.decorateRequest('facts', undefined)

  void app.register((scope, _options, registered) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (_request, text, done) => {
      try {
        done(null, readRequest(text))
      } catch (thrown) {
        done(asBrokerError(thrown))
      }
    })
    scope.post<{ Body: Ask | undefined }>('/tokens', {
      // For the description only: the parser has read the body by this schema.
      schema: { body: tokenRequest },
      validatorCompiler: () => () => true,
      onRequest: (request, _reply, done) => authenticate(issuer, request, done),
      handler: (request, reply) => {
        const { caller, facts, body: ask } = request
        if (caller === undefined || facts === undefined)
          throw new Error('the handler ran for a request that nobody authenticated')
        if (ask === undefined) throw new BrokerError('invalid_request', 'The body is missing: send a JSON object.')
        const issued = issuer.issue(caller, ask, facts)
        if (issued instanceof Promise) return issued.then(late => answers.send(reply, late))
        return answers.send(reply, issued)
      },
    })
    registered()
  })
}

const factsOf = (request: FastifyRequest): RequestFacts => ({
  requestId: request.id,
  endpoint,
  address: request.socket.remoteAddress ?? '',
})

function authenticate(issuer: TokenIssuer, request: FastifyRequest, done: HookHandlerDoneFunction): void {
  const facts = factsOf(request)
  const admit = (caller: Caller): void => {
    request.caller = caller
    request.facts = facts
    done()
  }
  try {
    const caller = issuer.authenticate(bearerOf(request.headers.authorization), facts)
    if (caller instanceof Promise) caller.then(admit, done)
    else admit(caller)
  } catch (thrown) {
    done(asBrokerError(thrown))
  }
}

/** The credential of an `Authorization: Bearer` header (RFC 6750 §2.1), whatever it is worth. */
function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  if (header.startsWith('Bearer ')) return header.slice('Bearer '.length).trim()
  return /^bearer +(.+)$/i.exec(header)?.[1]?.trim()
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
