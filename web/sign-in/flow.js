/**
 * The authorization code flow with PKCE (RFC 6749 §4.1, RFC 7636, OpenID Connect Core 1.0 §3.1). Its secrets are in closures
 * only: `state`, `nonce` and the code verifier live as long as the attempt, and nothing of it is stored.
 * @import { SignInServer } from './settings.js'
 * @import * as Library from 'oauth4webapi'
 * @typedef {typeof Library} OAuth
 */

/** Milliseconds in which the issuer's token endpoint must respond. */
const deadlineMs = 20_000

/** The issuer did not sign in, or its response cannot be used. The message is for people. */
export class SignInError extends Error {}

/**
 * @typedef {object} Attempt
 * @property {string} url where the issuer asks the person to sign in
 * @property {string} state belongs to this attempt only
 * @property {(response: URLSearchParams) => Promise<string>} finish resolves to an access token; rejects with
 *   {@link SignInError}. The code is exchanged once, whatever else arrives
 */

/**
 * Starts an attempt.
 *
 * @param {OAuth} oauth
 * @param {{ clientId: string, scope: string, server: SignInServer }} settings
 * @param {string} redirectUri
 * @returns {Promise<Attempt>}
 */
export async function startAttempt(oauth, { clientId, scope, server }, redirectUri) {
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const url = new URL(server.authorization_endpoint)
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...(hasFragments(server) && { response_mode: 'fragment' }),
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  const client = { client_id: clientId }
  let isFinished = false
  return {
    url: url.href,
    state,
    finish: async response => {
      if (isFinished) throw new SignInError('This sign-in was already used.')
      isFinished = true
      try {
        const checked = oauth.validateAuthResponse(server, client, response, state)
        const tokens = await oauth.authorizationCodeGrantRequest(
          server,
          client,
          oauth.None(),
          checked,
          redirectUri,
          verifier,
          { signal: AbortSignal.timeout(deadlineMs), [oauth.allowInsecureRequests]: isLoopback(server.token_endpoint) },
        )
        const result = await oauth.processAuthorizationCodeResponse(server, client, tokens, {
          expectedNonce: nonce,
          requireIdToken: true,
        })
        if (result.token_type !== 'bearer') throw new SignInError(`The issuer returned a ${result.token_type} token.`)
        return result.access_token
      } catch (thrown) {
        throw asSignInError(oauth, thrown)
      }
    },
  }
}

/**
 * Whether the response can come behind `#`, where no server sees it. Without the list, the specification's default has it.
 * @param {SignInServer} server
 */
const hasFragments = ({ response_modes_supported: modes }) => modes === undefined || modes.includes('fragment')

/**
 * Plain http is for an issuer on this machine only: that of a developer.
 * @param {string} url
 */
const isLoopback = url => ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname)

/**
 * @param {OAuth} oauth
 * @param {unknown} thrown
 */
function asSignInError(oauth, thrown) {
  if (thrown instanceof SignInError) return thrown
  if (thrown instanceof oauth.AuthorizationResponseError || thrown instanceof oauth.ResponseBodyError) {
    const { error, error_description: description } = thrown
    return new SignInError(description === undefined ? error : `${error}: ${description}`)
  }
  // What fetch throws: no connection, or the page's policy does not allow this origin.
  if (thrown instanceof TypeError || thrown instanceof DOMException)
    return new SignInError('Its token endpoint did not respond to this page. Reload the page, and sign in again.')
  return new SignInError(thrown instanceof Error ? `Its response cannot be used: ${thrown.message}` : String(thrown))
}
