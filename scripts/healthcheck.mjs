// The image's health check: asks the broker in the same container whether it is ready, and exits with 0 or 1. It reads
// the same variables as the broker. It knows the broker by its address only: it presents nothing, believes nothing but
// the status, and so need not know whose certificate it is, which names the outside and not 127.0.0.1.
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

const withinMs = 3_000
const env = process.env

/** As the broker reads numbers: what Kubernetes injects for a Service of the same name (`tcp://…`) counts as absent. */
const portOf = name => (/^\d{1,5}$/.test(env[name] ?? '') ? Number(env[name]) : undefined)

/** Where the broker listens. On Linux, an address that stands for all of them is reached by itself. */
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
  if (status !== 200) throw new Error(`/readyz answered ${status}`)
} catch (error) {
  process.stderr.write(`unhealthy: ${error.message}\n`)
  process.exitCode = 1
}
