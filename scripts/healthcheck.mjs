// The image's health check. Requests /readyz of the broker in the same container and exits with 0 if it is ready, else
// 1. It reads the same variables as the broker. It does not verify the broker's certificate, which names the public
// host and not 127.0.0.1. That is safe: it sends no credential and uses nothing but the status of the response.
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

const withinMs = 3_000
const env = process.env

/**
 * Reads a port like the broker does. What Kubernetes injects for a Service of this name (`tcp://…`) counts as absent.
 */
const portOf = name => (/^\d{1,5}$/.test(env[name] ?? '') ? Number(env[name]) : undefined)

/** The address of the broker. On Linux, connecting to an address like 0.0.0.0 reaches the local host. */
function target() {
  const management = portOf('MANAGEMENT_PORT')
  const host = (management === undefined ? env.HOST : env.MANAGEMENT_HOST) || '127.0.0.1'
  return { host, port: management ?? portOf('PORT') ?? 8080, path: '/readyz' }
}

function check() {
  const { promise, resolve, reject } = Promise.withResolvers()
  const send = env.TLS_CERT_FILE ? httpsRequest : httpRequest
  const options = { ...target(), agent: false, rejectUnauthorized: false, signal: AbortSignal.timeout(withinMs) }
  const request = send(options, response => {
    response.resume()
    resolve(response.statusCode)
  })
  request.on('error', reject)
  request.end()
  return promise
}

try {
  const status = await check()
  if (status !== 200) throw new Error(`/readyz returned ${status}`)
} catch (error) {
  process.stderr.write(`unhealthy: ${error.message}\n`)
  process.exitCode = 1
}
