// `helm test` runs this script in the broker's own image. It checks that a replica is ready, and that the Service leads
// to a broker that refuses a request without a credential. It verifies the certificate as a caller does: against ca.crt
// of the TLS Secret if there is one, otherwise against the public CAs, and always for the expected name.
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const { MANAGEMENT_URL, SERVICE_URL, SERVER_NAME, CA_FILE, WITHIN_SECONDS = '60', PAUSE_MS = '2000' } = process.env
const end = performance.now() + Number(WITHIN_SECONDS) * 1000
const responseMs = 5_000
const pauseMs = Number(PAUSE_MS)

function readCa() {
  try {
    const pem = readFileSync(CA_FILE, 'utf8')
    // Some issuers create an empty ca.crt.
    return pem.trim() === '' ? undefined : pem
  } catch {
    return undefined
  }
}
const ca = CA_FILE ? readCa() : undefined

const untrusted =
  ca === undefined
    ? 'the certificate is not signed by a public CA, and the TLS Secret has no ca.crt: add it'
    : 'the certificate is not signed by ca.crt of the TLS Secret: they do not match'
/** For each error code, its meaning here, and whether a later attempt may succeed. */
const meanings = {
  ENOTFOUND: ['the cluster does not know the name: there is no Service or no replica, or DNS is blocked', true],
  EAI_AGAIN: ['DNS does not respond: is it blocked for this pod?', true],
  ECONNREFUSED: ['the connection was refused: no replica is ready', true],
  ECONNRESET: [
    'the connection was closed: does the broker use plain http, or does a mesh refuse the connection?',
    true,
  ],
  ABORT_ERR: ['there is no response: does a NetworkPolicy block it?', true],
  EPROTO: ['the TLS handshake failed: does the broker use plain http?', false],
  CERT_HAS_EXPIRED: ['the certificate has expired: renew the TLS Secret', false],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    `the certificate is not valid for ${SERVER_NAME}: set tls.serverName, or renew it`,
    false,
  ],
  DEPTH_ZERO_SELF_SIGNED_CERT: [untrusted, false],
  SELF_SIGNED_CERT_IN_CHAIN: [untrusted, false],
  UNABLE_TO_GET_ISSUER_CERT: [untrusted, false],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: [untrusted, false],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [untrusted, false],
}

/** Sends one request without a credential. Resolves to the status and the body, of which it reads at most 16 KiB. */
function send(method, url) {
  const { promise, resolve, reject } = Promise.withResolvers()
  const startRequest = url.startsWith('https:') ? httpsRequest : httpRequest
  const options = { method, agent: false, servername: SERVER_NAME, signal: AbortSignal.timeout(responseMs), ca }
  const request = startRequest(url, options, response => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', chunk => (body = (body + chunk).slice(0, 16_384)))
    response.on('end', () => resolve({ status: response.statusCode, body }))
    response.on('error', reject)
  })
  request.on('error', reject)
  request.end()
  return promise
}

/**
 * Repeats a request until the response is the expected one, or the time is over.
 * @param check returns the error of a response, or `undefined`
 */
async function expect(method, url, success, check) {
  for (;;) {
    let error
    let mayRetry = true
    try {
      error = check(await send(method, url))
      if (error === undefined) return process.stdout.write(`ok    ${method} ${url}: ${success}\n`)
    } catch (thrown) {
      const [meaning, retryable] = meanings[thrown.code] ?? [thrown.message, true]
      error = `${thrown.code}: ${meaning}`
      mayRetry = retryable
    }
    if (!mayRetry || performance.now() + pauseMs > end) throw new Error(`${method} ${url}: ${error}`)
    await sleep(pauseMs)
  }
}

function codeIn(body) {
  try {
    return JSON.parse(body).code
  } catch {
    return undefined
  }
}

try {
  await expect('GET', `${MANAGEMENT_URL}/readyz`, 'a replica is ready', ({ status }) => {
    if (status === 200) return undefined
    return status === 503
      ? 'not ready: the broker could not obtain its identity token or the keys of any issuer; see "not ready yet" in its log'
      : `status ${status}: is this the broker's management port?`
  })
  await expect('POST', `${SERVICE_URL}/tokens`, 'no token without a credential', ({ status, body }) =>
    status === 401 && codeIn(body) === 'unauthenticated'
      ? undefined
      : `status ${status} instead of 401 "unauthenticated": does something else respond here?`,
  )
} catch (error) {
  process.stderr.write(`FAIL  ${error.message}\n`)
  process.exitCode = 1
}
