import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CachedToken } from '../broker/cached-token.ts'
import type { Issued, TokenIssuer } from '../broker/issue-token.ts'
import type { Ask } from '../broker/policy.ts'
import { asBrokerError, BrokerError, type ErrorCode } from '../errors.ts'
import { bearer } from './credential.ts'
import { addTokenRoute } from './dialect.ts'
import { answerProblem } from './problems.ts'
import { callerErrors, problems, routeErrors } from './schemas-problems.ts'
import { tokenRequest } from './schemas.ts'
import { expiresIn, expiresOn, refreshIn, tokenHeaders } from './token-answer.ts'
import { createTokenRequestReader } from './token-request.ts'

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
  addTokenRoute<Ask | undefined>(app, issuer, {
    endpoint: 'tokens',
    method: 'POST',
    path: '/tokens',
    // For the description only: the parser has read the body by this schema.
    schema: { operationId: 'issueToken', body: tokenRequest, response: problems(...errors) },
    credential: bearer,
    readAsk: ({ body: ask }) => {
      if (ask === undefined) throw new BrokerError('invalid_request', 'The body is missing: send a JSON object.')
      return ask
    },
    answer: (reply, issued) => answers.send(reply, issued),
    answerError: answerProblem,
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
    const seconds = expiresIn(served)
    let text = this.#texts.get(served.token)
    if (text?.expiresIn !== seconds || text.application !== grant.application) {
      text = {
        expiresIn: seconds,
        application: grant.application,
        body: bodyOf(issued),
        headers: tokenHeaders(served, 'hit'),
      }
      if (this.#texts.size >= maxAnswerTexts) this.#texts.clear()
      this.#texts.set(served.token, text)
    }
    return reply.headers(served.how === 'hit' ? text.headers : tokenHeaders(served, served.how)).send(text.body)
  }
}

function bodyOf({ grant, served }: Issued): string {
  return JSON.stringify({
    access_token: served.token.token,
    token_type: 'Bearer',
    expires_in: expiresIn(served),
    expires_on: expiresOn(served),
    refresh_in: refreshIn(served),
    tenant: grant.tenant,
    scope: grant.scope,
    application: grant.application,
  })
}
