import type { FastifyInstance } from 'fastify'
import type { SignIn } from '../../../broker/sign-in.ts'
import { problems, routeErrors } from '../../schemas/problem-responses.ts'

/** How people sign in with an issuer; `undefined` if the broker is not configured for it. Must not wait. */
export type FindSignIn = () => SignIn | undefined

/**
 * Adds `/dashboard/sign-in`: open, because the page reads it before anyone is signed in. It has the issuer's public metadata
 * and the page's client id, and nothing secret.
 */
export function addSignIn(app: FastifyInstance, find: FindSignIn): void {
  const schema = { operationId: 'getSignIn', response: problems(...routeErrors) }
  app.get('/dashboard/sign-in', { schema, config: { endpoint: 'dashboard' } }, (_request, reply) =>
    reply.header('cache-control', 'no-store').send(bodyOf(find())),
  )
}

function bodyOf(signIn: SignIn | undefined): object {
  if (signIn === undefined) return {}
  const { issuer, clientId, scope, server } = signIn
  return { issuer, client_id: clientId, scope, ...(server && { server }) }
}

/**
 * The origins besides its own to which the page may send requests: that of the issuer's token endpoint, where it exchanges
 * its code. The browser opens the authorization endpoint in a window of its own, which needs no permission.
 */
export const connectOrigins = (signIn: SignIn | undefined): readonly string[] =>
  signIn?.server === undefined ? [] : [new URL(signIn.server.token_endpoint).origin]
