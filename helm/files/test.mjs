// What `helm test` runs, in the broker's own image: is a replica ready, and does the Service lead to a broker that
// refuses a request without a credential? TLS is verified as any caller verifies it: against ca.crt of the TLS Secret if
// there is one, otherwise against the public CAs, and always for the expected name.
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const { MANAGEMENT_URL, SERVICE_URL, SERVER_NAME, CA_FILE, WITHIN_SECONDS = '60', PAUSE_MS = '2000' } = process.env
const end = performance.now() + Number(WITHIN_SECONDS) * 1000
const answerMs = 5_000
const pauseMs = Number(PAUSE_MS)

function readCa() {
  try {
    const pem = readFileSync(CA_FILE, 'utf8')
    // Some issuers leave an empty ca.crt.
    return pem.trim() === '' ? undefined : pem
  } catch {
    return undefined
  }
}
const ca = CA_FILE ? readCa() : undefined

const untrusted =
  ca === undefined
    ? 'the certificate is signed by no public CA, and the TLS Secret has no ca.crt: add it'
    : 'the certificate is not signed by ca.crt of the TLS Secret: they do not belong together'
/** By the error's code: what it means here, and whether waiting may help. */
const meanings = {
  ENOTFOUND: ['the name is unknown in the cluster: no Service, no replica, or DNS is blocked', true],
  EAI_AGAIN: ['DNS does not answer: is it blocked for this pod?', true],
  ECONNREFUSED: ['nobody listens: no replica is ready', true],
  ECONNRESET: ['the connection was cut: does the broker speak plain http, or does a mesh refuse it?', true],
  ABORT_ERR: ['no answer: does a NetworkPolicy stand between?', true],
  EPROTO: ['TLS was not understood: does the broker speak plain http?', false],
  CERT_HAS_EXPIRED: ['the certificate has expired: renew the TLS Secret', false],
  ERR_TLS_CERT_ALTNAME_INVALID: [`the certificate is not for ${SERVER_NAME}: set tls.serverName, or renew it`, false],
  DEPTH_ZERO_SELF_SIGNED_CERT: [untrusted, false],
  SELF_SIGNED_CERT_IN_CHAIN: [untrusted, false],
  UNABLE_TO_GET_ISSUER_CERT: [untrusted, false],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: [untrusted, false],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [untrusted, false],
}

/** Status and body (at most 16 KiB) of one request without a credential. */
function ask(method, url) {
  const { promise, resolve, reject } = Promise.withResolvers()
  const send = url.startsWith('https:') ? httpsRequest : httpRequest
  const options = { method, agent: false, servername: SERVER_NAME, signal: AbortSignal.timeout(answerMs), ca }
  const request = send(url, options, response => {
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

/** Asks until the answer is as expected, or time is up. */
async function expect(method, url, told, verdict) {
  for (;;) {
    let fault
    let mayPass = true
    try {
      const answer = await ask(method, url)
      fault = verdict(answer)
      if (fault === undefined) return process.stdout.write(`ok    ${method} ${url}: ${told}\n`)
    } catch (error) {
      const [meaning, passes] = meanings[error.code] ?? [error.message, true]
      fault = `${error.code}: ${meaning}`
      mayPass = passes
    }
    if (!mayPass || performance.now() + pauseMs > end) throw new Error(`${method} ${url}: ${fault}`)
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
      ? 'not ready: the identity token or the keys of every issuer could not be had; the broker\'s log says "not ready yet"'
      : `status ${status}: is this the broker's management port?`
  })
  await expect('POST', `${SERVICE_URL}/tokens`, 'no token without a credential', ({ status, body }) =>
    status === 401 && codeIn(body) === 'unauthenticated'
      ? undefined
      : `status ${status} instead of 401 "unauthenticated": does something else answer here?`,
  )
} catch (error) {
  process.stderr.write(`FAIL  ${error.message}\n`)
  process.exitCode = 1
}
