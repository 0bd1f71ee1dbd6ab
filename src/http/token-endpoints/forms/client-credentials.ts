import type { FastifyRequest } from 'fastify'
import type { Credential } from '../../../broker/authentication/credential.ts'
import { BrokerError } from '../../../errors.ts'
import { twoCredentials } from '../token-endpoint.ts'
import { formOf } from './form.ts'
import { basicOf } from './http-basic.ts'

/** RFC 7523 §2.2. */
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** A parameter whose value is the caller's own token. */
export type TokenParameter = 'client_assertion' | 'subject_token'

/**
 * The credential of a form, or of the `Authorization: Basic` header beside it: a token in one of the parameters, or a
 * client secret (RFC 6749 §2.3). HTTP Basic without a password is no credential. Throws `invalid_request` for more than
 * one.
 */
export function formCredential(
  request: FastifyRequest,
  ...parameters: readonly TokenParameter[]
): Credential | undefined {
  const form = formOf(request)
  const inHeader = basicOf(request)?.password
  const inForm = ['client_secret', ...parameters]
  const found = inForm.filter(name => form.get(name) !== undefined || form.isRepeated(name))
  if (inHeader) {
    if (found.length > 0) throw twoCredentials('Authorization: Basic counts as one unless its password is empty.')
    return { clientSecret: inHeader }
  }
  const [name = ''] = found
  if (found.length > 1 || form.isRepeated(name)) throw twoCredentials()
  const text = form.get(name)
  return name === 'client_secret' && text !== undefined ? { clientSecret: text } : text
}

/**
 * The client id of a form, or of the `Authorization: Basic` header beside it; `undefined` if there is none.
 *
 * @throws BrokerError `invalid_request` if they differ
 */
export function clientIdOf(request: FastifyRequest): string | undefined {
  const inForm = formOf(request).get('client_id')
  const user = basicOf(request)?.user
  if (user !== undefined && inForm !== undefined && user !== inForm) {
    throw new BrokerError('invalid_request', 'The user of Authorization: Basic must be the client_id of the form.')
  }
  return inForm ?? (user === '' ? undefined : user)
}

/**
 * Checks a request's grant and client authentication (RFC 6749 §4.4, RFC 7521 §4.2), and returns its client id, if it has
 * one. Throws `invalid_request`; its reason is `unsupported_grant_type` for another grant.
 */
export function checkClientCredentials(request: FastifyRequest): string | undefined {
  const form = formOf(request)
  const grant = form.get('grant_type')
  if (grant === undefined) throw new BrokerError('invalid_request', 'The parameter grant_type is missing.')
  if (grant !== 'client_credentials') {
    throw new BrokerError('invalid_request', 'This endpoint does not support this grant_type.', {
      reason: 'unsupported_grant_type',
    })
  }
  const hasAssertion = form.get('client_assertion') !== undefined
  if (hasAssertion && form.get('client_assertion_type') !== jwtBearer) {
    throw new BrokerError('invalid_request', `client_assertion_type must be ${jwtBearer}.`)
  }
  return clientIdOf(request)
}
