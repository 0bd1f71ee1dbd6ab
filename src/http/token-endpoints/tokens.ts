import type { FastifyReply } from 'fastify'
import type { CachedToken } from '../../broker/tokens/cached-token.ts'
import type { Issued } from '../../broker/issue-token.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { BrokerError } from '../../errors.ts'
import { tokenRequest } from '../schemas/requests.ts'
import { prepareResponse, sendPrepared, type PreparedResponse } from '../server/prepared-response.ts'
import { problemDetails } from '../server/problems.ts'
import { bearer } from './credential.ts'
import type { TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, expiresOn, refreshIn, tokenHeaders } from './token-response.ts'
import { createTokenRequestReader } from './requests/token-request.ts'

/** `POST /tokens`, the broker's own protocol. One value per server, since it caches bodies and responses. */
export function tokensEndpoint(): TokenEndpoint {
  const responses = new ResponseTexts()
  return {
    name: 'tokens',
    operationId: 'issueToken',
    method: 'POST',
    path: '/tokens',
    body: { mediaType: 'application/json', parse: createTokenRequestReader(), schema: tokenRequest },
    protocol: problemDetails,
    credential: bearer,
    readRequest: ({ body }) => {
      if (isRead(body)) return body
      throw new BrokerError('invalid_request', 'The body is missing; it must be a JSON object.')
    },
    writeToken: (reply, issued) => responses.send(reply, issued),
  }
}

/** Whether there was a body: then {@link createTokenRequestReader} has read it. */
const isRead = (body: unknown): body is TokenRequest => body !== undefined

interface ResponseText {
  readonly expiresIn: number
  /** Two names can have one client id, and so share a token. */
  readonly application: string
  /** Another version of the policy can give an agent identity another name. */
  readonly agent: string | undefined
  readonly body: string
  /** The response of a plain hit. */
  readonly hit: PreparedResponse | undefined
}

const maxTexts = 4096

/**
 * Response bodies of the most requested tokens. Each is valid for one second, because only the seconds left change in it.
 * A body is kept only if its token is requested again within a second, and all are cleared once there are too many. So
 * bodies of rarely requested tokens neither double the memory of the cache nor burden the garbage collector.
 */
class ResponseTexts {
  /** The text, or the `expires_in` of the token's last response. */
  readonly #texts = new Map<CachedToken, ResponseText | number>()

  send(reply: FastifyReply, issued: Issued): FastifyReply {
    const { served, limit } = issued
    const { body, hit } = this.#textOf(issued)
    if (hit && served.how === 'hit' && limit === undefined && sendPrepared(reply, hit)) return reply
    return reply.headers(tokenHeaders(served, served.how)).send(body)
  }

  #textOf(issued: Issued): ResponseText {
    const { grant, served } = issued
    const seconds = expiresIn(served)
    const known = this.#texts.get(served.token)
    const lastSent = typeof known === 'object' ? known.expiresIn : known
    if (typeof known === 'object' && lastSent === seconds && isOf(grant, known)) return known
    const body = bodyOf(issued)
    const hit = prepareResponse(tokenHeaders(served, 'hit'), body)
    const text = { expiresIn: seconds, application: grant.application, agent: grant.agent, body, hit }
    if (known === undefined && this.#texts.size >= maxTexts) this.#texts.clear()
    const isHot = lastSent !== undefined && lastSent - seconds <= 1
    this.#texts.set(served.token, isHot ? text : seconds)
    return text
  }
}

const isOf = (grant: Issued['grant'], { application, agent }: ResponseText): boolean =>
  grant.application === application && grant.agent === agent

function bodyOf({ grant, served }: Issued): string {
  return JSON.stringify({
    access_token: served.token.token,
    token_type: 'Bearer',
    expires_in: expiresIn(served),
    expires_on: expiresOn(served),
    refresh_in: refreshIn(served),
    tenant: grant.tenant,
    scope: grant.scope,
    // An agent does not know the blueprint of an agent identity.
    ...(grant.application !== '' && { application: grant.application }),
    ...(grant.agent !== undefined && { agent: grant.agent }),
  })
}
