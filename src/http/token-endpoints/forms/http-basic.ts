import type { IncomingHttpHeaders } from 'node:http'
import { BrokerError } from '../../../errors.ts'

/** What an `Authorization: Basic` header says. */
export interface BasicCredentials {
  /** The client id. */
  readonly user: string
  /** The client secret; empty if the header only names the client. */
  readonly password: string
}

/** The parts of a request that are read here. */
interface WithHeaders {
  readonly headers: IncomingHttpHeaders
}

/** Whether a request has an `Authorization: Basic` header, well-formed or not. */
export const isBasic = ({ headers: { authorization = '' } }: WithHeaders): boolean =>
  /^basic(?: |$)/i.test(authorization)

/**
 * Whether a request has an `Authorization: Basic` header without a password: it names the client, as libraries do beside
 * another credential, and is no credential itself.
 */
export const namesClientOnly = (request: WithHeaders): boolean => basicOf(request)?.password === ''

/**
 * The client id and secret of an `Authorization: Basic` header: RFC 7617, with both form-encoded (RFC 6749 §2.3.1).
 *
 * @returns `undefined` if the request does not have it
 * @throws BrokerError `invalid_request` if it is malformed
 */
export function basicOf(request: WithHeaders): BasicCredentials | undefined {
  if (!isBasic(request)) return undefined
  const [, encoded = ''] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(request.headers.authorization ?? '') ?? []
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon === -1) throw malformed()
  return { user: decoded(text.slice(0, colon)), password: decoded(text.slice(colon + 1)) }
}

/** A form-encoded text (RFC 6749 appendix B), decoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw malformed()
  }
}

const malformed = () =>
  new BrokerError(
    'invalid_request',
    'Authorization: Basic must have the base64 of <client_id>:<client_secret>, both form-encoded (RFC 6749 §2.3.1).',
  )
