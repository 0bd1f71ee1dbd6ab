import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CachedToken } from '../../broker/tokens/cached-token.ts'
import type { Issued, TokenIssuer } from '../../broker/issue-token.ts'
import type { Ask } from '../../broker/authorization/authorize.ts'
import { asBrokerError, BrokerError, type ErrorCode } from '../../errors.ts'
import { bearer } from './credential.ts'
import { addTokenRoute } from './token-endpoint.ts'
import { answerProblem } from '../server/problems.ts'
import { callerErrors, problems, routeErrors } from '../schemas/problem-responses.ts'
import { tokenRequest } from '../schemas/requests.ts'
import { checkPlainText } from './text-body.ts'
import { expiresIn, expiresOn, refreshIn, tokenHeaders } from './token-response.ts'
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
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    try {
      checkPlainText(request)
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
 * left. Only a token that is asked for again within a second has its body kept, and all are cleared when full, so that
 * bodies of tokens that are asked for now and then neither double the cache's memory nor keep the collector busy.
 */
class AnswerTexts {
  /** Body, or the `expires_in` with which the token was answered last. */
  readonly #texts = new Map<CachedToken, AnswerText | number>()

  send(reply: FastifyReply, issued: Issued): FastifyReply {
    const { served } = issued
    const text = this.#textOf(issued)
    return reply.headers(served.how === 'hit' ? text.headers : tokenHeaders(served, served.how)).send(text.body)
  }

  #textOf(issued: Issued): AnswerText {
    const { grant, served } = issued
    const seconds = expiresIn(served)
    const known = this.#texts.get(served.token)
    const answeredAt = typeof known === 'object' ? known.expiresIn : known
    if (typeof known === 'object' && answeredAt === seconds && known.application === grant.application) return known
    const text = {
      expiresIn: seconds,
      application: grant.application,
      body: bodyOf(issued),
      headers: tokenHeaders(served, 'hit'),
    }
    if (known === undefined && this.#texts.size >= maxAnswerTexts) this.#texts.clear()
    const isHot = answeredAt !== undefined && answeredAt - seconds <= 1
    this.#texts.set(served.token, isHot ? text : seconds)
    return text
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
