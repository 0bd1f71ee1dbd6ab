/**
 * How people sign in with the issuer, as the broker is configured. Nothing of it is secret.
 * @typedef {object} SignInServer the issuer's metadata, named as there
 * @property {string} issuer
 * @property {string} authorization_endpoint
 * @property {string} token_endpoint
 * @property {string[]} [response_modes_supported]
 * @property {string[]} [id_token_signing_alg_values_supported]
 * @property {boolean} [authorization_response_iss_parameter_supported]
 */

/**
 * @typedef {object} SignInSettings
 * @property {string} clientId
 * @property {string} scope
 * @property {string} issuer
 * @property {SignInServer | undefined} server `undefined` while the broker could not read the issuer's metadata
 */

/** Milliseconds in which the broker must respond. */
const deadlineMs = 8_000

/**
 * Reads the settings.
 * @returns {Promise<SignInSettings | undefined>} `undefined` if the broker has none, or does not respond
 */
export async function readSettings() {
  try {
    const response = await fetch('dashboard/sign-in', { signal: AbortSignal.timeout(deadlineMs), cache: 'no-store' })
    /** @type {unknown} */
    const body = await response.json()
    return response.ok ? settingsOf(body) : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {unknown} body
 * @returns {SignInSettings | undefined}
 */
function settingsOf(body) {
  if (!isRecord(body)) return undefined
  const { client_id: clientId, scope, issuer, server } = body
  if (typeof clientId !== 'string' || typeof scope !== 'string' || typeof issuer !== 'string') return undefined
  return { clientId, scope, issuer, server: isServer(server) ? server : undefined }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
const isRecord = value => typeof value === 'object' && value !== null

/**
 * The broker has checked the other members.
 * @param {unknown} value
 * @returns {value is SignInServer}
 */
const isServer = value =>
  isRecord(value) && typeof value['authorization_endpoint'] === 'string' && typeof value['token_endpoint'] === 'string'
